"""Registry of provider families: the one list that the router, the family servers, the CLI and the tests read.

A new family is a folder and one entry here. Importing this module imports catalogs only: the router has no use for
adapters, and a family server for those of other families.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Final

from imagegateway.providers.bfl.catalog import MODELS as BFL
from imagegateway.providers.bria.catalog import MODELS as BRIA
from imagegateway.providers.bytedance.catalog import MODELS as BYTEDANCE
from imagegateway.providers.google.catalog import MODELS as GOOGLE
from imagegateway.providers.ideogram.catalog import MODELS as IDEOGRAM
from imagegateway.providers.local.catalog import MODELS as LOCAL
from imagegateway.providers.openai.catalog import MODELS as OPENAI
from imagegateway.providers.recraft.catalog import MODELS as RECRAFT
from imagegateway.providers.stability.catalog import MODELS as STABILITY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imagegateway.media.decoding import DecodeBudget
    from imagegateway.media.store import MediaStore
    from imagegateway.platform.settings import Settings
    from imagegateway.providers.catalog import Model
    from imagegateway.providers.kit.adapter import Adapter
    from imagegateway.providers.kit.family import Family

    Opener = Callable[[Settings, MediaStore, DecodeBudget], Family]


@dataclass(frozen=True, slots=True)
class FamilyEntry:
    """Registry entry of one family. An import path is `module:name`, relative to `imagegateway.providers`."""

    name: str
    models: tuple[Model, ...]
    adapters: tuple[str, ...] = ()
    """Import paths of the adapters of the family's routes; none for a family that calls no provider."""
    opener: str = ""
    """Import path of the constructor of a family that calls no provider; empty for one behind HTTP."""
    settings: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Settings of the family beside those of each route: type and meaning, by name without prefix."""

    def load_adapters(self) -> tuple[Adapter, ...]:
        """Import the family's adapters. Return one of each."""
        return tuple(_load(path)() for path in self.adapters)

    def load_opener(self) -> Opener:
        """Import the constructor of a family that calls no provider."""
        opener: Opener = _load(self.opener)
        return opener


def _load(path: str) -> Any:
    return resolve_name(f"{__package__}.{path}")


_ENTRIES: Final = (
    FamilyEntry(
        "local",
        LOCAL,
        opener="local.family:open_family",
        settings={
            "LOCAL_IMAGE": ("text", "Path of an image that answers every task of `local/sketch`, for benchmarks.")
        },
    ),
    FamilyEntry(
        "bfl",
        BFL,
        ("bfl.adapter:BflAdapter", "bfl.cloudflare:CloudflareAdapter"),
        settings={
            "CLOUDFLARE_ACCOUNT_ID": (
                "text",
                "Account that Workers AI is called for. The route cloudflare is unavailable without it.",
            ),
        },
    ),
    FamilyEntry("bria", BRIA, ("bria.adapter:BriaAdapter", "bria.fal:BriaFalAdapter")),
    FamilyEntry("bytedance", BYTEDANCE, ("bytedance.adapter:BytedanceAdapter",)),
    FamilyEntry("google", GOOGLE, ("google.adapter:GoogleAdapter",)),
    FamilyEntry("ideogram", IDEOGRAM, ("ideogram.adapter:IdeogramAdapter",)),
    FamilyEntry("openai", OPENAI, ("openai.adapter:OpenAIAdapter",)),
    FamilyEntry("recraft", RECRAFT, ("recraft.adapter:RecraftAdapter",)),
    FamilyEntry(
        "stability",
        STABILITY,
        (
            "stability.adapter:StabilityAdapter",
            "stability.replicate:ReplicateAdapter",
            "stability.fal:SdxlFalAdapter",
            "stability.automatic1111:Automatic1111Adapter",
        ),
    ),
)

FAMILIES: Final[Mapping[str, FamilyEntry]] = {entry.name: entry for entry in _ENTRIES}
"""All families, by name."""

MODELS: Final = tuple(model for entry in _ENTRIES for model in entry.models)
"""All models, family by family."""

ROUTES: Final = tuple(sorted({route.name for model in MODELS for route in model.routes}))
"""Names of all routes."""

HTTP_FAMILIES: Final[Mapping[str, FamilyEntry]] = {name: entry for name, entry in FAMILIES.items() if entry.adapters}
"""Families that call providers, by name."""

EMBEDDED_MODEL: Final = LOCAL[0].id
"""Id of the model that runs in this process and requires no key."""
