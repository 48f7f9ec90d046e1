"""Log lines and metrics of responses whose callers leave: after the last byte, or before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from imagegateway.keys.api_keys import ApiKey
from imagegateway.router import call_context
from imagegateway.router.body_budget import BodyBudget
from imagegateway.router.interceptor import RequestInterceptor
from imagegateway.v1 import image_service_pb2 as pb
from structlog.testing import capture_logs

from tests.router.limits import unlimited
from tests.support.metrics import Added

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

METHOD = "/imagegateway.v1.ImageService/Generate"
PIECES = (b"half", b"whole")


class _Ring:
    async def find(self, secret: str) -> ApiKey:
        return ApiKey(id="k", tenant="t", name="n", created_at=0)

    def note_use(self, key: ApiKey) -> None:
        pass


class _Context:
    def __init__(self) -> None:
        self._unread = [pb.GenerateRequest(prompt="a kite").SerializeToString()]
        self.written: list[bytes] = []

    async def read(self) -> object:
        return self._unread.pop() if self._unread else grpc.aio.EOF

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return [("authorization", "Bearer key"), ("x-envoy-original-path", "/v1/images/generations")]

    def add_done_callback(self, callback: object) -> None:
        pass

    async def send_initial_metadata(self, metadata: object) -> None:
        pass

    async def write(self, data: bytes) -> None:
        self.written.append(data)


class _GoneCaller(_Context):
    async def send_initial_metadata(self, metadata: object) -> None:
        raise asyncio.CancelledError


async def respond(_request: pb.GenerateRequest, _context: object) -> AsyncIterator[HttpBody]:
    call_context.current().headers[call_context.LENGTH] = str(sum(map(len, PIECES)))
    for piece in PIECES:
        yield HttpBody(data=piece)


async def answer(_request: pb.GenerateRequest, _context: object) -> pb.ImagesResponse:
    return pb.ImagesResponse()


async def intercepted(handler: object) -> Any:
    """Return the interceptor's handler around a method's."""
    ring: Any = _Ring()
    details: Any = type("Details", (), {"method": METHOD})

    async def found(_details: object) -> Any:
        return handler

    return await RequestInterceptor(ring, unlimited(), BodyBudget(1 << 20)).intercept_service(found, details)


async def test_caller_that_leaves_before_the_response_counts_once() -> None:
    wrapped = await intercepted(grpc.unary_unary_rpc_method_handler(answer, pb.GenerateRequest.FromString))
    added = Added()
    with pytest.raises(asyncio.CancelledError):
        await wrapped.stream_unary(None, _GoneCaller())
    assert added.series("imagegateway_requests_total") == {("Generate", "unknown", "unknown", "499", ""): 1}


@pytest.mark.parametrize(("pieces", "status"), [(1, 499), (2, 200)])
async def test_caller_that_leaves_after_the_last_byte_has_its_response(pieces: int, status: int) -> None:
    wrapped = await intercepted(grpc.unary_stream_rpc_method_handler(respond, pb.GenerateRequest.FromString))
    added = Added()
    with capture_logs() as lines:
        messages = wrapped.stream_stream(None, _Context())
        for _ in range(pieces):
            await anext(messages)
        await messages.aclose()
    assert [line["status"] for line in lines] == [status]
    assert added.series("imagegateway_requests_total") == {("Generate", "unknown", "unknown", str(status), ""): 1}


@pytest.mark.parametrize(("stated", "written", "last"), [(True, PIECES[:1], PIECES[1]), (False, PIECES, b"")])
async def test_last_piece_of_a_document_is_sent_with_the_status(
    stated: bool, written: tuple[bytes, ...], last: bytes
) -> None:
    async def body(_pieces: object, _context: object) -> AsyncIterator[HttpBody]:
        async for piece in respond(pb.GenerateRequest(), None):
            if not stated:
                call_context.current().headers.pop(call_context.LENGTH, None)
            yield piece

    wrapped = await intercepted(grpc.stream_stream_rpc_method_handler(body, HttpBody.FromString))
    context = _Context()
    returned = await wrapped.stream_unary(None, context)
    assert [HttpBody.FromString(data).data for data in context.written] == list(written)
    assert returned.data == last
