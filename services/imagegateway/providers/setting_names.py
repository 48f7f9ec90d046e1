"""Names of all settings, and the check for unknown ones.

A route has the settings of `OF_ROUTES`, and a family the further ones of its registry entry. docs/settings.md is
generated from these and from `imagegateway.platform.settings`.
"""

from __future__ import annotations

from dataclasses import fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from imagegateway.platform.setting_source import PREFIX, SettingError, Source
from imagegateway.platform.settings import Settings
from imagegateway.providers.registry import FAMILIES, MODELS, ROUTES

if TYPE_CHECKING:
    from collections.abc import Mapping


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
}
"""Settings of each route, `<ROUTE>_<name>`: type and meaning."""
FURTHER: Final[Mapping[str, tuple[str, str]]] = {
    "SETTINGS": ("text", "Path of the TOML settings file."),
    **{name: setting for entry in FAMILIES.values() for name, setting in entry.settings.items()},
    "URL": ("text", "Address of the gateway, for its clients."),
    "KEY": ("secret", "API key, for the gateway's clients."),
    "BYOK": ("secret", "Own provider keys for the command line, such as `fal=KEY replicate=KEY`."),
}
"""Settings outside `Settings`: type and meaning. Families or clients of the gateway read them."""


def known_names() -> frozenset[str]:
    """Return the names of all settings, without prefix."""
    own = {field.name.upper() for field in fields(Settings) if field.name != "source"}
    return frozenset(own | FURTHER.keys() | {f"{route.upper()}_{suffix}" for route in ROUTES for suffix in OF_ROUTES})


def check_names(source: Source) -> None:
    """Raise SettingError for a name in `source` that is no setting's, with the nearest known name."""
    known = known_names()
    for name, written in source.names():
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f": did you mean {PREFIX}{near[0]}?" if near else "; docs/settings.md lists them"
            raise SettingError(f"there is no setting {written}{hint}")
