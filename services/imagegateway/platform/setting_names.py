"""Names of settings: those of each route, those outside `Settings`, and the check for unknown names.

docs/settings.md is generated from the tables, and from `imagegateway.platform.settings`.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from imagegateway.platform.setting_source import PREFIX, SettingError, Source

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ROUTES: Final = (
    "automatic1111",
    "bfl",
    "bria",
    "bytedance",
    "cloudflare",
    "fal",
    "google",
    "ideogram",
    "local",
    "openai",
    "recraft",
    "replicate",
    "stability",
)
"""Routes of providers. Each has the settings of `OF_ROUTES`."""
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
        """Concurrent jobs of this route at its provider, for each key. The unit is the provider's own where its limit
        has one: tasks of bfl, images of ideogram. A smaller limit of a model stays in force.
        Default: the provider's limit (bfl 24, ideogram 10, automatic1111 1; local 64), else
        `IMAGEGATEWAY_CONCURRENCY`.""",
    ),
}
"""Settings of each route, `<ROUTE>_<name>`: type and meaning."""
FURTHER: Final[Mapping[str, tuple[str, str]]] = {
    "SETTINGS": ("text", "Path of the TOML settings file."),
    "CLOUDFLARE_ACCOUNT_ID": (
        "text",
        "Account that Workers AI is called for. The route cloudflare is unavailable without it.",
    ),
    "LOCAL_IMAGE": ("text", "Path of an image that answers every task of `local/sketch`, for benchmarks."),
    "URL": ("text", "Address of the gateway, for its clients."),
    "KEY": ("secret", "API key, for the gateway's clients."),
}
"""Settings outside `Settings`: type and meaning. Other modules or clients of the gateway read them."""


def names() -> frozenset[str]:
    """Return the names of the settings in this module's tables, without prefix."""
    return frozenset({f"{route.upper()}_{suffix}" for route in ROUTES for suffix in OF_ROUTES} | FURTHER.keys())


def check_names(source: Source, known: Collection[str]) -> None:
    """Raise SettingError for a name in `source` that is not in `known` (names without prefix)."""
    for name, written in source.names():
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f": did you mean {PREFIX}{near[0]}?" if near else "; docs/settings.md lists them"
            raise SettingError(f"there is no setting {written}{hint}")
