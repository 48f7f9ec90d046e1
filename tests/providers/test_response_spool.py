"""Spool of large provider responses: received at once, loaded once there is memory, in turn by tenant, never lost."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import pybase64
import pytest
from imagegateway.providers.kit.media_extractor import SHORTEST
from imagegateway.providers.kit.response_spool import ResponseSpool
from imagegateway.providers.kit.spooled_content import SMALL_BYTES, SpooledContent, SpoolMemory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from imagegateway.providers.kit.http_messages import HttpResponse

MIB = 1024 * 1024
PIECE = 300_000


def content(size: int) -> bytes:
    return bytes(range(251)) * (size // 251 + 1)


class _Incoming:
    """A response in pieces that breaks off at `breaks`."""

    status = 200

    def __init__(
        self, body: bytes, *, breaks: bool = False, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._body = body
        self._breaks = breaks
        self.headers = headers

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), PIECE):
            yield self._body[start : start + PIECE]
        if self._breaks:
            raise ConnectionError

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])


def incoming(size: int, *, breaks: bool = False) -> Any:
    return _Incoming(content(size)[:size], breaks=breaks)


@pytest.mark.parametrize("size", [0, 1, SMALL_BYTES, SMALL_BYTES + 1, 5 * MIB + 7])
async def test_spooled_response_is_complete(tmp_path: Path, size: int) -> None:
    spool = ResponseSpool(100 * MIB, tmp_path / "replies")
    reply = await spool.receive(incoming(size))
    assert (reply.spooled is not None) == (size > SMALL_BYTES)
    async with spool.load(reply, "acme") as loaded:
        assert loaded.content == content(size)[:size]
        assert loaded.spooled is None


async def test_response_of_a_short_stated_length_is_read_whole(tmp_path: Path) -> None:
    spool = ResponseSpool(100 * MIB, tmp_path / "replies")
    body = b'{"data": "short"}'
    reply = await spool.receive(cast("Any", _Incoming(body, headers={"content-length": f"{len(body)}"})))
    assert (reply.content, reply.spooled) == (body, None)


async def test_media_are_taken_out_of_a_response_that_is_short_only_by_its_encoding(tmp_path: Path) -> None:
    spool = ResponseSpool(100 * MIB, tmp_path / "replies")
    image = bytes(SHORTEST)
    body = b'{"data": "' + pybase64.b64encode(image) + b'"}'
    headers = {"content-length": "300", "content-encoding": "gzip"}
    reply = await spool.receive(cast("Any", _Incoming(body, headers=headers)))
    async with spool.load(reply, "acme") as loaded:
        assert list(loaded.media.values()) == [image]


@pytest.mark.parametrize("room", [0, 1, PIECE, 2 * MIB])
async def test_disk_without_room_leaves_the_rest_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    class File:
        """Take `room` bytes."""

        def __init__(self, **_: object) -> None:
            self.real = open_file(dir=tmp_path, buffering=0)
            self.left = room

        def write(self, data: memoryview) -> int:
            if not self.left:
                refused.append(len(data))
                raise OSError(errno.ENOSPC, "no space left on device")
            taken: int = self.real.write(data[: self.left])
            self.left -= taken
            return taken

        def fileno(self) -> int:
            number: int = self.real.fileno()
            return number

        def close(self) -> None:
            self.real.close()

    refused: list[int] = []
    open_file: Any = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", File)
    whole = content(5 * MIB)
    spool = SpooledContent(tmp_path, SpoolMemory(0))
    for start in range(0, len(whole), PIECE):
        await spool.write(whole[start : start + PIECE])
    assert spool.size == len(whole)
    assert len(refused) == 1, "a full disk is written to again"
    assert await spool.read() == whole


async def test_response_stays_in_memory_without_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spool = ResponseSpool(100 * MIB, tmp_path / "file" / "replies")
    reply = await spool.receive(incoming(3 * MIB))
    async with spool.load(reply, "acme") as loaded:
        assert len(loaded.content) == 3 * MIB


async def test_broken_response_leaves_no_open_file(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):  # an open file would be a warning, which fails the test
        await ResponseSpool(100 * MIB, tmp_path).receive(incoming(3 * MIB, breaks=True))


async def test_responses_are_received_without_memory_and_loaded_one_after_another(tmp_path: Path) -> None:
    spool = ResponseSpool(24 * MIB, tmp_path)
    loaded: list[str] = []

    async def use(reply: HttpResponse, tenant: str) -> None:
        async with spool.load(reply, tenant):
            loaded.append(tenant)

    first, second, third = [await spool.receive(incoming(4 * MIB)) for _ in range(3)]
    async with spool.load(first, "a"):
        waiting = asyncio.create_task(use(second, "a"))
        await asyncio.wait_for(use(third, "b"), 10)
        assert loaded == ["b"]
    await asyncio.wait_for(waiting, 10)
    assert loaded == ["b", "a"]
