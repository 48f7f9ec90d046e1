"""Runs families' servers: all of them in one process, or one process each by `python -m services.<family>`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.bfl.adapter import BflAdapter
from services.bfl.catalog import MODELS as BFL
from services.bfl.cloudflare import CloudflareAdapter
from services.bria.adapter import BriaAdapter
from services.bria.catalog import MODELS as BRIA
from services.bria.fal import BriaFalAdapter
from services.bytedance.adapter import BytedanceAdapter
from services.bytedance.catalog import MODELS as BYTEDANCE
from services.common import logs, settings
from services.common.decoding import DecodeGate
from services.common.outbound import Outbound
from services.common.provider import serve
from services.common.reply_memory import ReplyMemory
from services.common.server import run
from services.common.store import MediaStore
from services.common.upstream import UpstreamFamily
from services.common.urlguard import Guard
from services.google.adapter import GoogleAdapter
from services.google.catalog import MODELS as GOOGLE
from services.ideogram.adapter import IdeogramAdapter
from services.ideogram.catalog import MODELS as IDEOGRAM
from services.local.family import open_family as open_local
from services.openai.adapter import OpenAIAdapter
from services.openai.catalog import MODELS as OPENAI
from services.recraft.adapter import RecraftAdapter
from services.recraft.catalog import MODELS as RECRAFT
from services.stability.adapter import StabilityAdapter
from services.stability.automatic1111 import Automatic1111Adapter
from services.stability.catalog import MODELS as STABILITY
from services.stability.fal import SdxlFalAdapter
from services.stability.replicate import ReplicateAdapter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.common.adapter import Adapter
    from services.common.catalog import Model
    from services.common.family import Family
    from services.common.settings import Settings

    Opener = Callable[[Settings, MediaStore, DecodeGate, ReplyMemory], Family]

GRACE = 10.0
"""Seconds that running calls get to end."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A family behind HTTP: its models, and an adapter for each of its routes."""

    models: tuple[Model, ...]
    adapters: tuple[Adapter, ...]

    def open(self, current: Settings, store: MediaStore, gate: DecodeGate, memory: ReplyMemory) -> Family:
        outbound = Outbound(Guard(current.allow_hosts))
        name = self.models[0].family
        return UpstreamFamily(
            name,
            self.models,
            self.adapters,
            settings=current,
            outbound=outbound,
            store=store,
            gate=gate,
            memory=memory,
        )


UPSTREAMS: Final[Mapping[str, Upstream]] = {
    "bfl": Upstream(BFL, (BflAdapter(), CloudflareAdapter())),
    "bria": Upstream(BRIA, (BriaAdapter(), BriaFalAdapter())),
    "bytedance": Upstream(BYTEDANCE, (BytedanceAdapter(),)),
    "google": Upstream(GOOGLE, (GoogleAdapter(),)),
    "ideogram": Upstream(IDEOGRAM, (IdeogramAdapter(),)),
    "openai": Upstream(OPENAI, (OpenAIAdapter(),)),
    "recraft": Upstream(RECRAFT, (RecraftAdapter(),)),
    "stability": Upstream(
        STABILITY, (StabilityAdapter(), ReplicateAdapter(), SdxlFalAdapter(), Automatic1111Adapter())
    ),
}
"""Families behind HTTP, by name. A new one is a folder, a line here, and its models in `services.router.catalog`."""

FAMILIES: Final[Mapping[str, Opener]] = {
    "local": lambda current, store, gate, _memory: open_local(current, store, gate),
    **{name: upstream.open for name, upstream in UPSTREAMS.items()},
}
"""Every family, by name."""


def main(families: Mapping[str, Opener]) -> None:
    """Serve each family on its own UNIX socket, named after it, until SIGTERM."""
    current = settings.current()
    logs.configure(current, "providers" if len(families) > 1 else next(iter(families)))

    async def body(stop: asyncio.Event) -> None:
        store = MediaStore.open(current.media_url)
        gate = DecodeGate(current.decode_pixels)
        memory = ReplyMemory(current.answer_memory * 1024**2, current.data_dir / "replies")
        opened = {name: opener(current, store, gate, memory) for name, opener in families.items()}
        servers = [await serve(family, current.socket(name)) for name, family in opened.items()]
        await stop.wait()
        await asyncio.gather(*(server.stop(GRACE) for server in servers))
        await asyncio.gather(*(family.close() for family in opened.values()))

    run(body, "providers")
