"""Names of all settings, and the check for unknown ones.

A route has the settings of `OF_ROUTES`, and a family those of `OF_FAMILIES` and of its registry entry.
docs/settings.md is generated from these and from `imagegateway.platform.settings`.
"""

from __future__ import annotations

from dataclasses import fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from imagegateway.platform import setting_checks
from imagegateway.platform.secret import Secret
from imagegateway.platform.setting_source import FILE_SUFFIX, PREFIX, SettingError, Source
from imagegateway.platform.settings import GROUPS
from imagegateway.providers.catalog import api_key_setting, base_url_setting
from imagegateway.providers.registry import FAMILIES, MODELS, ROUTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imagegateway.platform.settings import Settings


def _documented_limits() -> str:
    """Return the routes whose provider documents a limit, each with the largest limit of its models."""
    limits: dict[str, int] = {}
    for route in (route for model in MODELS for route in model.routes if route.concurrency):
        limits[route.name] = max(limits.get(route.name, 0), route.concurrency or 0)
    return ", ".join(f"{name} {limit}" for name, limit in sorted(limits.items()))


OF_ROUTES: Final[Mapping[str, tuple[str, str]]] = {
    "API_KEY": (
        "secret",
        """The operator's key at the provider. A call's own key takes precedence, then the tenant's stored key.
        `imagegateway doctor` checks it.""",
    ),
    "BASE_URL": (
        "text",
        """Another address for the provider: an origin, or an origin with a proxy's path prefix.
        Default: the provider's own.""",
    ),
    "CONCURRENCY": (
        "integer, 1 to 100000",
        f"""Concurrent jobs of this route at its provider, for each key. The unit is the provider's own where its
        limit has one: tasks of bfl, images of ideogram. A smaller limit of a model stays in force.
        Default: the provider's limit ({_documented_limits()}), else `IMAGEGATEWAY_CONCURRENCY`.""",
    ),
    "TIMEOUT": (
        "number, 1 to 3600",
        """Longest time of one request to the provider in seconds, its whole response included. A request that takes
        longer may be billed, and is not repeated. Downloads of results have their own limit.
        Default: by route, 60 to 900.""",
    ),
}
"""Settings of each route, `<ROUTE>_<name>`: type and meaning."""
OF_FAMILIES: Final[Mapping[str, tuple[str, str]]] = {
    "URL": (
        "text",
        """Addresses at which routers find the family's server, `unix:/path` or `tcp://host:port`.
        Default: `IMAGEGATEWAY_PROVIDERS_URL`.""",
    ),
}
"""Settings of each family, `<FAMILY>_<name>`: type and meaning."""
FURTHER: Final[Mapping[str, tuple[str, str]]] = {
    "SETTINGS": ("text", "Path of the TOML settings file."),
    **{name: setting for entry in FAMILIES.values() for name, setting in entry.settings.items()},
    "URL": ("text", "Address of the gateway, for its clients."),
    "KEY": ("secret", "API key, for the gateway's clients."),
    "BYOK": ("secret", "Own provider keys for the command line, such as `fal=KEY replicate=KEY`."),
}
"""Settings outside `Settings`: type and meaning. Families or clients of the gateway read them."""
_NO_SETTINGS: Final = {"SOURCE", "EDGE", "EGRESS", "INTERNAL"}
"""Fields of settings that are no settings themselves, in upper case."""


def known_names() -> frozenset[str]:
    """Return the names of all settings, without prefix."""
    own = {field.name.upper() for group in GROUPS for field in fields(group)} - _NO_SETTINGS
    of_routes = {f"{route.upper()}_{suffix}" for route in ROUTES for suffix in OF_ROUTES}
    of_families = {f"{family.upper()}_{suffix}" for family in FAMILIES for suffix in OF_FAMILIES}
    return frozenset(own | FURTHER.keys() | of_routes | of_families)


def secret_names() -> frozenset[str]:
    """Return the names of the settings that a file may hold: `<name>_FILE` names the file."""
    own = {field.name.upper() for group in GROUPS for field in fields(group) if field.type == Secret.__name__}
    of_routes = {f"{route.upper()}_{suffix}" for route in ROUTES for suffix in _secret(OF_ROUTES)}
    return frozenset(own | of_routes | _secret(FURTHER))


def _secret(described: Mapping[str, tuple[str, str]]) -> set[str]:
    return {name for name, (kind, _) in described.items() if kind == "secret"}


def check_routes(settings: Settings) -> None:
    """Raise SettingError for a malformed setting of a route or family."""
    for route in ROUTES:
        settings.route_concurrency(route, None)
        settings.route_timeout(route)
        setting_checks.check_base_url(settings.source, base_url_setting(route))
    for family in FAMILIES:
        settings.provider_addresses(family)


def watch_keys(settings: Settings, routes: Iterable[str] = ROUTES) -> None:
    """Read the operator's keys for routes, whose files are watched from then on.

    Raises SettingError for a file without a key, and for a key that no header can hold.
    """
    for route in routes:
        settings.source.watched_secret(api_key_setting(route), _check_key)


def _check_key(key: str) -> None:
    if not key.isprintable():
        raise ValueError("must be one line of printable characters")


def check_names(source: Source) -> None:
    """Raise SettingError for a name in `source` that is no setting's, with the nearest known name."""
    known = known_names() | {name + FILE_SUFFIX for name in secret_names()}
    for name, written in source.names():
        if name in known:
            continue
        if name.removesuffix(FILE_SUFFIX) in known:
            raise SettingError(f"there is no setting {written}: only a secret can be in a file")
        near = get_close_matches(name, known, 1)
        hint = f": did you mean {PREFIX}{near[0]}?" if near else "; docs/settings.md lists them"
        raise SettingError(f"there is no setting {written}{hint}")
