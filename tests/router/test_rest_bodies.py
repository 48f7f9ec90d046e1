"""JSON bodies of REST calls: where the reader stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from google.api.httpbody_pb2 import HttpBody
from imagegateway.router import call_context
from imagegateway.router.body_budget import BodyBudget
from imagegateway.router.rest_bodies import read_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BODY = b'{"prompt": "a kite"}'
PIECES = (BODY[:7], BODY[7:])


@pytest.mark.parametrize(
    ("rest", "length", "reads_end"),
    [(True, str(len(BODY)), False), (True, None, True), (False, str(len(PIECES[0])), True)],
    ids=["rest", "rest-without-length", "native"],
)
async def test_end_of_the_stream_is_read_only_without_a_length_from_envoy(
    rest: bool, length: str | None, reads_end: bool
) -> None:
    ended = False

    async def pieces() -> AsyncIterator[HttpBody]:
        nonlocal ended
        for data in PIECES:
            yield HttpBody(content_type="application/json", data=data)
        ended = True

    call = call_context.begin("Generate", {"x-body-length": length} if length else {}, rest=rest)
    with BodyBudget(1 << 20).reservation("t") as reservation:
        assert await read_json(pieces(), call, reservation) == {"prompt": "a kite"}
    assert ended == reads_end
    assert call.log["request_bytes"] == len(BODY)
