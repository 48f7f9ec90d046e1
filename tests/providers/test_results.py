"""Results on their way into the store: videos in pieces, images in memory, both checked by their bytes."""

from __future__ import annotations

import gzip
import hashlib
import ssl
import tracemalloc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiohttp import web
from imagegateway.media.decoding import DecodeGate
from imagegateway.media.store import MediaStore, StoreUnavailable
from imagegateway.outbound.client import Outbound
from imagegateway.outbound.url_guard import Guard
from imagegateway.platform.errors import GatewayError
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.google.adapter import GoogleAdapter
from imagegateway.providers.google.catalog import MODELS
from imagegateway.providers.kit import results
from imagegateway.providers.kit.adapter import Call, ResultMedia
from imagegateway.providers.kit.endpoints import Endpoint
from imagegateway.providers.kit.http_call import HttpSender
from imagegateway.providers.kit.response_spool import ResponseSpool
from imagegateway.providers.kit.results import ResultStore

from tests.emulators.base import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MIB: Final = 1024 * 1024
HEAD: Final = b"\0\0\0\x18ftypmp42"


@dataclass
class Files(Emulator):
    """Serves a file of `head` and then `mebibytes` MiB; the first answers end after `cut` MiB."""

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
class World:
    """What takes results in, and where they come from."""

    files: Files
    store: MediaStore
    results: ResultStore
    folder: Path
    slept: list[float] = field(default_factory=list)

    async def keep(
        self, path: str = "/file", modality: str = "video", *, keyed: bool = False, **more: Any
    ) -> pb.MediaRef:
        model = next(model for model in MODELS if model.modality == modality)
        call = Call(pb.ImageTask(model=model.id, n=1), model, model.routes[0], "job_test", 0, 1)
        target = Endpoint(self.files.base, self.files.key)
        found = ResultMedia(url=self.files.base + path, needs_credentials=keyed)
        kept = await self.results.save(GoogleAdapter(), target, call, found, **more)
        return kept.media

    def stored(self) -> list[str]:
        return [path.name for path in self.folder.rglob("*") if path.is_file()]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    store = MediaStore.open(tmp_path.as_uri())
    async with Files() as files, Outbound(Guard(["127.0.0.1"]), tls) as outbound:
        assert isinstance(files, Files)
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        sender = HttpSender(outbound, ResponseSpool(2**30, tmp_path))
        taking = ResultStore(outbound, store, DecodeGate(10**8), sender, sleep)
        yield World(files, store, taking, tmp_path, slept)


@pytest.mark.parametrize("keyed", [False, True])
async def test_video_adds_no_memory_of_its_size(world: World, *, keyed: bool) -> None:
    world.files.mebibytes = 200
    tracemalloc.start()
    try:
        media = await world.keep(keyed=keyed)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (media.size, media.sha256) == (len(HEAD) + 200 * MIB, world.files.digest())
    assert await world.store.digest(media.key) == media.sha256
    assert peak < 30 * MIB, f"{peak // MIB} MiB"


@pytest.mark.parametrize("keyed", [False, True])
async def test_video_that_breaks_off_is_fetched_again_and_leaves_nothing(world: World, *, keyed: bool) -> None:
    world.files.cut = [1, 2]
    media = await world.keep(keyed=keyed)
    assert media.sha256 == world.files.digest()
    assert world.stored() == [media.key.rpartition("/")[2]]
    assert world.slept == [1.0, 2.0]


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("head", [b"", b"<html>" + bytes(10)])
async def test_video_that_is_no_mp4_is_refused_by_its_first_bytes(world: World, head: bytes, *, keyed: bool) -> None:
    world.files.head = head
    with pytest.raises(GatewayError, match="no MP4"):
        await world.keep(keyed=keyed)
    assert world.stored() == []
    assert len(world.files.sent) == 1


async def test_video_shorter_than_its_head_is_refused(world: World) -> None:
    world.files.head, world.files.mebibytes = HEAD[:7], 0
    with pytest.raises(GatewayError, match="no MP4"):
        await world.keep()


async def test_video_is_fetched_again_when_the_store_comes_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, refusals = world.store.result, [1, 1]

    def away(max_bytes: int) -> object:
        if refusals:
            refusals.pop()
            raise StoreUnavailable("disk")
        return begin(max_bytes)

    monkeypatch.setattr(world.store, "result", away)
    with pytest.raises(StoreUnavailable):
        await world.keep()
    media = await world.keep(store_seconds=10.0)
    assert media.sha256 == world.files.digest()


@pytest.mark.parametrize("keyed", [False, True])
async def test_image_over_the_limit_is_refused(world: World, monkeypatch: pytest.MonkeyPatch, *, keyed: bool) -> None:
    monkeypatch.setattr(results, "MAX_IMAGE_BYTES", 2 * MIB)
    with pytest.raises(GatewayError, match="can't be fetched"):
        await world.keep(modality="image", keyed=keyed)


@pytest.mark.parametrize("keyed", [False, True])
async def test_bomb_ends_at_the_limit_without_a_large_buffer(
    world: World, monkeypatch: pytest.MonkeyPatch, *, keyed: bool
) -> None:
    monkeypatch.setattr(results, "MAX_VIDEO_BYTES", 4 * MIB)
    world.files.body = gzip.compress(HEAD + bytes(256 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(GatewayError, match="can't be fetched"):
            await world.keep("/encoded", keyed=keyed)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 * MIB, f"{peak // MIB} MiB"
    assert world.stored() == []
