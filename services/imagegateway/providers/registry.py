"""Registry of provider families: the one list that the router, the family servers, the CLI and the tests read.

A new family is a folder and one entry here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.outbound.client import Outbound
from imagegateway.outbound.url_guard import Guard
from imagegateway.providers.bfl.adapter import BflAdapter
from imagegateway.providers.bfl.catalog import MODELS as BFL
from imagegateway.providers.bfl.cloudflare import CloudflareAdapter
from imagegateway.providers.bria.adapter import BriaAdapter
from imagegateway.providers.bria.catalog import MODELS as BRIA
from imagegateway.providers.bria.fal import BriaFalAdapter
from imagegateway.providers.bytedance.adapter import BytedanceAdapter
from imagegateway.providers.bytedance.catalog import MODELS as BYTEDANCE
from imagegateway.providers.google.adapter import GoogleAdapter
from imagegateway.providers.google.catalog import MODELS as GOOGLE
from imagegateway.providers.ideogram.adapter import IdeogramAdapter
from imagegateway.providers.ideogram.catalog import MODELS as IDEOGRAM
from imagegateway.providers.kit.driver import HttpFamily
from imagegateway.providers.local.catalog import MODELS as LOCAL
from imagegateway.providers.local.family import open_family as open_local
from imagegateway.providers.openai.adapter import OpenAIAdapter
from imagegateway.providers.openai.catalog import MODELS as OPENAI
from imagegateway.providers.recraft.adapter import RecraftAdapter
from imagegateway.providers.recraft.catalog import MODELS as RECRAFT
from imagegateway.providers.stability.adapter import StabilityAdapter
from imagegateway.providers.stability.automatic1111 import Automatic1111Adapter
from imagegateway.providers.stability.catalog import MODELS as STABILITY
from imagegateway.providers.stability.fal import SdxlFalAdapter
from imagegateway.providers.stability.replicate import ReplicateAdapter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imagegateway.media.decoding import DecodeGate
    from imagegateway.media.store import MediaStore
    from imagegateway.platform.settings import Settings
    from imagegateway.providers.catalog import Model
    from imagegateway.providers.kit.adapter import Adapter
    from imagegateway.providers.kit.family import Family
    from imagegateway.providers.kit.response_spool import ResponseSpool

    Opener = Callable[[Settings, MediaStore, DecodeGate], Family]


@dataclass(frozen=True, slots=True)
class FamilyEntry:
    """Registry entry of one family."""

    name: str
    models: tuple[Model, ...]
    adapters: tuple[Adapter, ...] = ()
    """Adapters of the family's routes; none for a family that calls no provider."""
    opener: Opener | None = None
    """Constructor of a family that calls no provider; None for one behind HTTP."""

    def open(self, settings: Settings, store: MediaStore, gate: DecodeGate, spool: ResponseSpool) -> Family:
        """Return the family, ready to serve. Raises SettingError."""
        if self.opener:
            return self.opener(settings, store, gate)
        outbound = Outbound(Guard(settings.allow_hosts))
        return HttpFamily(
            self.name,
            self.models,
            self.adapters,
            settings=settings,
            outbound=outbound,
            store=store,
            gate=gate,
            spool=spool,
        )


_ENTRIES: Final = (
    FamilyEntry("local", LOCAL, opener=open_local),
    FamilyEntry("bfl", BFL, (BflAdapter(), CloudflareAdapter())),
    FamilyEntry("bria", BRIA, (BriaAdapter(), BriaFalAdapter())),
    FamilyEntry("bytedance", BYTEDANCE, (BytedanceAdapter(),)),
    FamilyEntry("google", GOOGLE, (GoogleAdapter(),)),
    FamilyEntry("ideogram", IDEOGRAM, (IdeogramAdapter(),)),
    FamilyEntry("openai", OPENAI, (OpenAIAdapter(),)),
    FamilyEntry("recraft", RECRAFT, (RecraftAdapter(),)),
    FamilyEntry(
        "stability", STABILITY, (StabilityAdapter(), ReplicateAdapter(), SdxlFalAdapter(), Automatic1111Adapter())
    ),
)

FAMILIES: Final[Mapping[str, FamilyEntry]] = {entry.name: entry for entry in _ENTRIES}
"""All families, by name."""

MODELS: Final = tuple(model for entry in _ENTRIES for model in entry.models)
"""All models, family by family."""

HTTP_FAMILIES: Final[Mapping[str, FamilyEntry]] = {name: entry for name, entry in FAMILIES.items() if entry.adapters}
"""Families that call providers, by name."""

EMBEDDED_MODEL: Final = LOCAL[0].id
"""Id of the model that runs in this process and requires no key."""
