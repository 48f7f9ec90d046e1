"""Runs families' servers: all of them in one process, or one process each by `python -m services.<family>`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.common import logs, settings
from services.common.provider import serve
from services.common.server import run
from services.common.store import MediaStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.common.family import Family
    from services.common.settings import Settings

    Opener = Callable[[Settings, MediaStore], Family]

GRACE = 10.0
"""Seconds that running calls get to end."""


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
