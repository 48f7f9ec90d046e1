"""Runs families' servers: all of them in one process, or one process each by `python -m services.<family>`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from services.bfl.adapter import BflAdapter
from services.bfl.catalog import MODELS as BFL
from services.common import logs, settings
from services.common.outbound import Outbound
from services.common.provider import serve
from services.common.server import run
from services.common.store import MediaStore
from services.common.upstream import UpstreamFamily
from services.common.urlguard import Guard
from services.local.family import open_family as open_local

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.common.adapter import Adapter
    from services.common.catalog import Model
    from services.common.family import Family
    from services.common.settings import Settings

    Opener = Callable[[Settings, MediaStore], Family]

GRACE = 10.0
"""Seconds that running calls get to end."""


def _upstream(name: str, models: tuple[Model, ...], *adapters: Adapter) -> Opener:
    def opener(current: Settings, store: MediaStore) -> Family:
        outbound = Outbound(Guard(current.allow_hosts))
        return UpstreamFamily(name, models, adapters, settings=current, outbound=outbound, store=store)

    return opener


FAMILIES: Final[Mapping[str, Opener]] = {
    "local": open_local,
    "bfl": _upstream("bfl", BFL, BflAdapter()),
}
"""Every family, by name. A new one is a folder and a line here, and its models in `services.router.catalog`."""


def main(families: Mapping[str, Opener]) -> None:
    """Serve each family on its own UNIX socket, named after it, until SIGTERM."""
    current = settings.current()
    logs.configure(current, "providers" if len(families) > 1 else next(iter(families)))

    async def body(stop: asyncio.Event) -> None:
        store = MediaStore.open(current.media_url)
        opened = {name: opener(current, store) for name, opener in families.items()}
        servers = [await serve(family, current.socket(name)) for name, family in opened.items()]
        await stop.wait()
        await asyncio.gather(*(server.stop(GRACE) for server in servers))
        await asyncio.gather(*(family.close() for family in opened.values()))

    run(body, "providers")
