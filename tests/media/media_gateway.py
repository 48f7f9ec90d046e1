"""The media server over its UNIX socket, as Envoy sees it; import the fixtures where they are needed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from imagegateway.keys.root_secret import RootSecret
from imagegateway.media.signed_links import LinkSigner
from imagegateway.media.store import MediaStore
from imagegateway.media.web import responses, server
from imagegateway.platform import logs
from imagegateway.platform.http_server import listening
from imagegateway.platform.listener import Listener
from imagegateway.platform.process import Process
from imagegateway.platform.setting_source import Source
from imagegateway.platform.settings import Settings, load
from yarl import URL

from tests.support.clock import Clock
from tests.support.media import OWNER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOON = 1_790_000_000.0  # 2026-09-21T13:33:20Z
PUBLIC = "http://gateway.example"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running server and its parts."""

    settings: Settings
    store: MediaStore
    links: LinkSigner
    clock: Clock
    client: aiohttp.ClientSession

    async def link(self, data: bytes, filename: str = "0.png", lifetime: int = 86_400) -> URL:
        """Store a result and sign a link to it."""
        key = (await self.store.put_result(data, OWNER)).key
        return URL(self.links.sign(key, filename, lifetime), encoded=True)

    async def get(self, url: URL | str, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
        return await self.send("GET", url, **headers)

    async def send(self, method: str, url: URL | str, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        target = URL(PUBLIC + url, encoded=True) if isinstance(url, str) else url
        async with self.client.request(method, target, headers=named) as answer:
            return answer, await answer.read()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(
        Source(
            {
                "IMAGEGATEWAY_DATA_DIR": str(tmp_path),
                "IMAGEGATEWAY_PUBLIC_URL": PUBLIC,
                "IMAGEGATEWAY_ROUTERS": "2",
            }
        )
    )


@pytest.fixture
async def gateway(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    # A logger that has logged keeps the set-up of that time, which may be another test's.
    monkeypatch.setattr(responses, "_log", logs.get("imagegateway.media.web.responses"))
    clock = Clock(NOON)
    store = MediaStore.open(settings.media_url, clock)
    links = LinkSigner(RootSecret("root secret of the tests"), PUBLIC, clock)
    path = settings.socket("media")
    process = Process("media")
    process.start_complete()
    async with (
        listening(
            server.application(settings, store, links, process, clock), Listener.unix(path), grace=10, cancel=True
        ),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as client,
    ):
        yield Gateway(settings, store, links, clock, client)


def error_of(body: bytes) -> dict[str, Any]:
    """Return the error of a response, after checking OpenAI's shape."""
    error: dict[str, Any] = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error
