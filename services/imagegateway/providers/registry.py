"""Runs families' servers: all in one process, or one process each by `python -m imagegateway.providers.<family>`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.media.decoding import DecodeGate
from imagegateway.media.store import MediaStore
from imagegateway.outbound.client import Outbound
from imagegateway.outbound.url_guard import Guard
from imagegateway.platform import logs, settings
from imagegateway.platform.grpc_server import run
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
from imagegateway.providers.kit.driver import UpstreamFamily
from imagegateway.providers.kit.reply_memory import ReplyMemory
from imagegateway.providers.kit.servicer import serve
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

    from imagegateway.platform.settings import Settings
    from imagegateway.providers.catalog import Model
    from imagegateway.providers.kit.adapter import Adapter
    from imagegateway.providers.kit.family import Family

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
"""Families behind HTTP, by name. A new one is a folder, a line here, and its models in `router.catalog`."""

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
