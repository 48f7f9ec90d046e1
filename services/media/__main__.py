"""Serve media, health and the page: `python -m services.media`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.common import links, logs, settings
from services.common.secrets import RootSecret
from services.common.server import run
from services.common.store import MediaStore
from services.media.server import application, serve

if TYPE_CHECKING:
    import asyncio


async def main(stop: asyncio.Event) -> None:
    """Open the store and serve until `stop`."""
    current = settings.current()
    store = MediaStore.open(current.media_url)
    signer = links.Links(RootSecret.load(current), current.public_url)
    await serve(application(current, store, signer), current.socket("media"), store, stop)


if __name__ == "__main__":
    logs.configure(settings.current(), "media")
    run(main, "media")
