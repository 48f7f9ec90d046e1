"""Messages of native gRPC calls, which Envoy's hook sends in pieces."""

from __future__ import annotations

import asyncio
import gzip
import struct
import zlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from imagegateway.keys.api_keys import ApiKey
from imagegateway.platform.errors import GatewayError
from imagegateway.router import grpc_messages
from imagegateway.router.body_budget import BodyBudget
from imagegateway.router.interceptor import RequestInterceptor
from imagegateway.v1 import image_service_pb2 as pb

from tests.router.clock import SkippingLoop
from tests.router.limits import unlimited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

MIB: Final = 1024 * 1024
CALL: Final = (("authorization", "Bearer key"), ("x-grpc-pieces", "identity"))


def frame(data: bytes, flag: int = 0) -> bytes:
    return struct.pack(">BI", flag, len(data)) + data


async def read(pieces: Iterable[bytes], encoding: str = "identity", limit: int = 256 * MIB) -> list[bytes]:
    """Return the messages that pieces hold; of `limit` bytes a tenant may have half."""

    async def sent() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    with BodyBudget(limit).reservation("tenant") as held:
        return [message async for message in grpc_messages.read(sent(), encoding, held)]


@pytest.mark.parametrize("size", [1, 2, 5, 7, 100])
async def test_messages_are_the_same_however_they_are_cut(size: int) -> None:
    body = frame(b"first") + frame(b"") + frame(b"a" * 60)
    assert await read([body[at : at + size] for at in range(0, len(body), size)]) == [b"first", b"", b"a" * 60]


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_compressed_message_is_inflated(encoding: str, pack: Any) -> None:
    data = b"a" * 3 * MIB
    assert await read([frame(pack(data), 1), frame(b"plain")], encoding) == [data, b"plain"]


@pytest.mark.parametrize(
    ("body", "encoding", "message"),
    [
        (frame(b"ten bytes.")[:-1], "identity", "ends before"),
        (b"\0\0\0", "identity", "ends before"),
        (frame(b"trailers", 0x80), "identity", "not a gRPC message"),
        (frame(b"data", 1), "identity", "compressed"),
        (frame(b"no gzip", 1), "gzip", "grpc-encoding"),
        (frame(gzip.compress(b"data", mtime=0)[:-1], 1), "gzip", "grpc-encoding"),
        (frame(gzip.compress(b"data", mtime=0) + b"more", 1), "gzip", "grpc-encoding"),
    ],
)
async def test_body_that_holds_no_message_is_an_invalid_value(body: bytes, encoding: str, message: str) -> None:
    with pytest.raises(GatewayError, match=message) as caught:
        await read([body], encoding)
    assert caught.value.meaning.grpc is grpc.StatusCode.INVALID_ARGUMENT


async def test_unknown_encoding_is_not_implemented() -> None:
    with pytest.raises(GatewayError, match="identity, gzip or deflate") as caught:
        await read([frame(b"data")], "snappy")
    assert caught.value.meaning.grpc is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("compressed", [False, True])
async def test_message_over_64_mib_is_too_large(*, compressed: bool) -> None:
    body = frame(gzip.compress(bytes(65 * MIB), 1), 1) if compressed else b"\0\xff\xff\xff\xff"
    with pytest.raises(GatewayError, match="over 64 MiB") as caught:
        await read([body], "gzip")
    assert caught.value.code == "request_too_large"


@pytest.mark.parametrize("compressed", [False, True])
async def test_message_over_the_budget_is_refused_before_it_is_whole(*, compressed: bool) -> None:
    sent = bytes(9 * MIB)
    body = frame(gzip.compress(sent, 1), 1) if compressed else struct.pack(">BI", 0, 50 * MIB) + sent
    with pytest.raises(GatewayError) as caught:
        await read([body], "gzip", limit=16 * MIB)
    assert caught.value.code == "overloaded"


class _Refused(Exception):  # noqa: N818  no error of the test's
    """Return the status of an ended call."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self.code = code


class _Ring:
    async def find(self, _: str) -> ApiKey:
        return ApiKey(id="k", tenant="t", name="n", created_at=0)

    def note_use(self, key: ApiKey) -> None:
        pass


class _Context:
    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces

    async def read(self) -> object:
        return await anext(self._pieces, grpc.aio.EOF)

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return CALL

    def add_done_callback(self, callback: object) -> None:
        pass

    async def abort(self, code: grpc.StatusCode, *_: object) -> None:
        raise _Refused(code)


def end(pieces: Iterable[tuple[float, bytes]], *, streaming: bool) -> tuple[grpc.StatusCode, float]:
    """Return how a call ends whose pieces come after some seconds each, and when."""

    async def sent() -> AsyncIterator[bytes]:
        for seconds, piece in pieces:
            await asyncio.sleep(seconds)
            yield piece

    async def method(*_: object) -> None:
        raise AssertionError("there is no whole message")

    kind = grpc.unary_stream_rpc_method_handler if streaming else grpc.unary_unary_rpc_method_handler
    handler = kind(method, pb.GetJobRequest.FromString, pb.GetJobRequest.SerializeToString)

    async def found(_: object) -> Any:
        return handler

    async def run() -> tuple[grpc.StatusCode, float]:
        ring: Any = _Ring()
        details: Any = SimpleNamespace(method="/imagegateway.v1.ImageService/GetJob")
        wrapped: Any = await RequestInterceptor(ring, unlimited(), BodyBudget(MIB)).intercept_service(found, details)
        try:
            if streaming:
                await anext(wrapped.stream_stream(None, _Context(sent())))
            else:
                await wrapped.stream_unary(None, _Context(sent()))
        except _Refused as refused:
            return refused.code, asyncio.get_running_loop().time()
        raise AssertionError("the call was answered")

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(run())


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    "pieces",
    [[(1e6, b"")], [(0.0, frame(bytes(900))[:100]), (1e6, b"")], [(5.0, b"\0"), *[(5.0, b"\1")] * 100]],
    ids=["nothing", "stalls", "drips"],
)
def test_message_that_stalls_or_drips_ends_within_a_minute(
    pieces: list[tuple[float, bytes]], *, streaming: bool
) -> None:
    code, seconds = end(pieces, streaming=streaming)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert seconds <= 60
