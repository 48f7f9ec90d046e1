"""Storage of results: videos in chunks, images in memory, both checked by their bytes."""

from __future__ import annotations

import gzip
import hashlib
import ssl
import tracemalloc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiohttp import web
from imagegateway.media.decoding import DecodeBudget
from imagegateway.media.store import MediaStore, StoreUnavailable
from imagegateway.outbound.client import Outbound
from imagegateway.outbound.url_guard import UrlGuard
from imagegateway.platform.errors import GatewayError
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.google.adapter import GoogleAdapter
from imagegateway.providers.google.catalog import MODELS
from imagegateway.providers.kit import results
from imagegateway.providers.kit.call import Call
from imagegateway.providers.kit.endpoints import Endpoint
from imagegateway.providers.kit.http_call import HttpSender
from imagegateway.providers.kit.outcomes import ResultMedia
from imagegateway.providers.kit.response_spool import ResponseSpool
from imagegateway.providers.kit.results import ResultStore

from tests.emulators.base import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from imagegateway.media.objects import ResultOwner

MIB: Final = 1024 * 1024
HEAD: Final = b"\0\0\0\x18ftypmp42"


@dataclass
class FileServer(Emulator):
    """Server of a file: `head`, then `mebibytes` MiB. Response `n` breaks off after `cut[n]` MiB."""

    head: bytes = HEAD
    mebibytes: int = 3
    cut: list[int] = field(default_factory=list)
    body: bytes = b""

    def routes(self, app: web.Application) -> None:
        app.router.add_get("/file", self._file)
        app.router.add_get("/encoded", self._encoded)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(self.head) + self.mebibytes * MIB
        await response.prepare(request)
        await response.write(self.head)
        block = bytes(MIB)
        for number in range(self.mebibytes):
            if self.cut and number == self.cut[0]:
                del self.cut[0]
                assert request.transport
                request.transport.close()
                return response
            await response.write(block)
        return response

    async def _encoded(self, request: web.Request) -> web.Response:
        return web.Response(body=self.body, headers={"content-encoding": "gzip"})

    def digest(self) -> str:
        return hashlib.sha256(self.head + bytes(self.mebibytes * MIB)).hexdigest()


@dataclass
class Download:
    """Result store under test, with its file server, its media store and its recorded sleeps."""

    server: FileServer
    store: MediaStore
    results: ResultStore
    folder: Path
    slept: list[float] = field(default_factory=list)

    async def keep(
        self,
        path: str = "/file",
        modality: str = "video",
        *,
        result: ResultMedia | None = None,
        needs_credentials: bool = False,
        **more: Any,
    ) -> pb.MediaRef:
        model = next(model for model in MODELS if model.modality == modality)
        call = Call(pb.ImageTask(model=model.id, n=1), model, model.routes[0], "job_test", 0, 1)
        endpoint = Endpoint(self.server.base, self.server.key, 30)
        result = result or ResultMedia(url=self.server.base + path, needs_credentials=needs_credentials)
        artifact = await self.results.save(GoogleAdapter(), endpoint, call, result, **more)
        return artifact.media

    def stored(self) -> list[str]:
        return [path.name for path in self.folder.rglob("*") if path.is_file()]


@pytest.fixture
async def download(tmp_path: Path) -> AsyncIterator[Download]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    store = MediaStore.open(tmp_path.as_uri())
    async with FileServer() as server, Outbound(UrlGuard(["127.0.0.1"]), tls) as outbound:
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        sender = HttpSender(outbound, ResponseSpool(2**30, tmp_path))
        results_store = ResultStore(outbound, store, DecodeBudget(10**8), sender, sleep)
        yield Download(server, store, results_store, tmp_path, slept)


@pytest.mark.parametrize(
    ("result", "has_key"),
    [(ResultMedia(url="/file"), False), (ResultMedia(url="/file", needs_credentials=True), True)],
)
async def test_trusted_server_of_a_result_gets_the_key_only_where_the_result_needs_it(
    download: Download, result: ResultMedia, *, has_key: bool
) -> None:
    await download.keep(result=result)
    (request,) = download.server.sent
    assert (download.server.key in request.headers.values()) == has_key


@pytest.mark.parametrize("needs_credentials", [False, True])
async def test_video_uses_constant_memory(download: Download, *, needs_credentials: bool) -> None:
    download.server.mebibytes = 40
    tracemalloc.start()
    try:
        media = await download.keep(needs_credentials=needs_credentials)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (media.size, media.sha256) == (len(HEAD) + 40 * MIB, download.server.digest())
    assert await download.store.digest(media.key) == media.sha256
    assert peak < 30 * MIB, f"{peak // MIB} MiB"


@pytest.mark.parametrize("needs_credentials", [False, True])
async def test_broken_video_download_is_repeated_without_leftover_files(
    download: Download, *, needs_credentials: bool
) -> None:
    download.server.cut = [1, 2]
    media = await download.keep(needs_credentials=needs_credentials)
    assert media.sha256 == download.server.digest()
    assert download.stored() == [media.key.rpartition("/")[2]]
    assert download.slept == [1.0, 2.0]


@pytest.mark.parametrize("needs_credentials", [False, True])
@pytest.mark.parametrize("head", [b"", b"<html>" + bytes(10)])
async def test_video_without_mp4_header_is_refused(
    download: Download, head: bytes, *, needs_credentials: bool
) -> None:
    download.server.head = head
    with pytest.raises(GatewayError, match="no MP4"):
        await download.keep(needs_credentials=needs_credentials)
    assert download.stored() == []
    assert len(download.server.sent) == 1


async def test_video_shorter_than_its_header_is_refused(download: Download) -> None:
    download.server.head, download.server.mebibytes = HEAD[:7], 0
    with pytest.raises(GatewayError, match="no MP4"):
        await download.keep()


async def test_video_is_fetched_again_after_the_store_recovers(
    download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_result, refusals = download.store.result, [1, 1]

    def unavailable(max_bytes: int, owner: ResultOwner) -> object:
        if refusals:
            refusals.pop()
            raise StoreUnavailable("disk")
        return open_result(max_bytes, owner)

    monkeypatch.setattr(download.store, "result", unavailable)
    with pytest.raises(StoreUnavailable):
        await download.keep()
    media = await download.keep(store_seconds=10.0)
    assert media.sha256 == download.server.digest()


@pytest.mark.parametrize("needs_credentials", [False, True])
async def test_image_over_the_limit_is_refused(
    download: Download, monkeypatch: pytest.MonkeyPatch, *, needs_credentials: bool
) -> None:
    monkeypatch.setattr(results, "MAX_IMAGE_BYTES", 2 * MIB)
    with pytest.raises(GatewayError, match="can't be fetched"):
        await download.keep(modality="image", needs_credentials=needs_credentials)


@pytest.mark.parametrize("needs_credentials", [False, True])
async def test_compressed_bomb_ends_at_the_limit_without_a_large_buffer(
    download: Download, monkeypatch: pytest.MonkeyPatch, *, needs_credentials: bool
) -> None:
    monkeypatch.setattr(results, "MAX_VIDEO_BYTES", 4 * MIB)
    download.server.body = gzip.compress(HEAD + bytes(40 * MIB), compresslevel=1)
    tracemalloc.start()
    try:
        with pytest.raises(GatewayError, match="can't be fetched"):
            await download.keep("/encoded", needs_credentials=needs_credentials)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 * MIB, f"{peak // MIB} MiB"
    assert download.stored() == []
