"""Media process: serves media, health, the API description and the web page (`python -m imagegateway.media`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.keys.root_secret import RootSecret
from imagegateway.media import signed_links
from imagegateway.media.store import MediaStore
from imagegateway.media.web.server import application, serve
from imagegateway.platform import logs, settings
from imagegateway.platform.grpc_server import run

if TYPE_CHECKING:
    import asyncio


async def main(stop: asyncio.Event) -> None:
    """Serve until `stop`."""
    current = settings.current()
    store = MediaStore.open(current.media_url)
    signer = signed_links.LinkSigner(RootSecret.load(current), current.public_url)
    await serve(application(current, store, signer), current.socket("media"), store, stop)


if __name__ == "__main__":
    logs.configure(settings.current(), "media")
    run(main, "media")
