"""Media process: serves media, health, the API description and the web page (`python -m imagegateway.media`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.keys.root_secret import RootSecret
from imagegateway.media import signed_links
from imagegateway.media.store import MediaStore
from imagegateway.media.web.server import application, serve
from imagegateway.platform import settings
from imagegateway.platform.internal_tls import InternalTls, Role
from imagegateway.platform.listener import Listener
from imagegateway.platform.process import run

if TYPE_CHECKING:
    from imagegateway.platform.process import Process


async def main(process: Process) -> None:
    """Serve until the process must stop."""
    current = settings.current()
    store = MediaStore.open(current.media_url)
    signer = signed_links.LinkSigner(RootSecret.load(current), current.public_url)
    tls = InternalTls.open(current.internal, Role.MEDIA)
    app = application(current, store, signer, process, tls=tls)
    await serve(app, Listener((current.media_address,), tls, frozenset({Role.ENVOY})), store, process)


def start() -> None:
    """Run the process until it must stop."""
    run(main, "media")


if __name__ == "__main__":
    start()
