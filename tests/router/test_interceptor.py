"""Log lines of responses whose callers leave: after the last byte, or before."""

from __future__ import annotations

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
    def invocation_metadata(self) -> list[tuple[str, str]]:
        return [("authorization", "Bearer key"), ("x-envoy-original-path", "/v1/images/generations")]

    def add_done_callback(self, callback: object) -> None:
        pass

    async def send_initial_metadata(self, metadata: object) -> None:
        pass


async def respond(_request: pb.GenerateRequest, _context: object) -> AsyncIterator[HttpBody]:
    call_context.current().headers[call_context.LENGTH] = str(sum(map(len, PIECES)))
    for piece in PIECES:
        yield HttpBody(data=piece)


async def received() -> AsyncIterator[bytes]:
    yield pb.GenerateRequest(prompt="a kite").SerializeToString()


@pytest.mark.parametrize(("pieces", "status"), [(1, 499), (2, 200)])
async def test_caller_that_leaves_after_the_last_byte_has_its_response(pieces: int, status: int) -> None:
    ring: Any = _Ring()
    interceptor = RequestInterceptor(ring, unlimited(), BodyBudget(1 << 20))
    handler: Any = grpc.unary_stream_rpc_method_handler(respond, pb.GenerateRequest.FromString)
    details: Any = type("Details", (), {"method": METHOD})

    async def found(_details: object) -> Any:
        return handler

    wrapped: Any = await interceptor.intercept_service(found, details)
    with capture_logs() as lines:
        messages = wrapped.stream_stream(received(), _Context())
        for _ in range(pieces):
            await anext(messages)
        await messages.aclose()
    assert [line["status"] for line in lines] == [status]
