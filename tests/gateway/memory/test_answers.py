"""Concurrent responses with images: the router's memory stays within its limit, and each call is served."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

from tests.gateway import cases, rest
from tests.gateway.memory.limits import LOCAL_IMAGE
from tests.gateway.peak_memory import MIB, watching
from tests.gateway.rest import GENERATIONS, SMALL, ask
from tests.gateway.test_auth import create
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

COUNT: Final = 4
CALLS: Final = 8
RESPONSE: Final = COUNT * LOCAL_IMAGE * 4 // 3
"""Bytes of one response: two exceed a tenant's half of the limit."""
GROWTH: Final = RESPONSE + 96 * MIB
"""Accepted growth: one response, free memory in the allocator, and pieces in flight."""
WANTED: Final[dict[str, Any]] = {**SMALL, "n": COUNT, "response_format": "b64_json"}


def length_of_answer(stack: Stack, fields: dict[str, Any], key: str) -> int:
    answer = ask(stack, "POST", GENERATIONS, fields, key=key)
    assert answer.status == 200, answer.body[:500]
    return len(answer.body)


@pytest.mark.parametrize("stream", [False, True], ids=["document", "events"])
def test_memory_of_parallel_answers_is_bounded(stack: Stack, *, stream: bool) -> None:
    router = stack.running_child("router")
    fields = {**WANTED, "stream": stream}
    before = router.memory_info().rss
    with watching([router]) as peak, ThreadPoolExecutor(CALLS) as pool:
        lengths = list(pool.map(lambda _: length_of_answer(stack, fields, stack.key), range(CALLS)))
    assert min(lengths) > RESPONSE
    assert peak.bytes - before < GROWTH, f"{(peak.bytes - before) // MIB} MiB"


def test_memory_of_parallel_grpc_answers_is_bounded(stack: Stack) -> None:
    router = stack.running_child("router")
    before = router.memory_info().rss
    with cases.channel(stack) as channel, watching([router]) as peak, ThreadPoolExecutor(CALLS) as pool:
        stub = pb_grpc.ImageServiceStub(channel)
        request = pb.GenerateRequest(model="local/sketch", prompt="a kite", response_format="b64_json")

        def size(_: int) -> int:
            answer = stub.Generate(request, metadata=(cases.authorization(stack),), timeout=60)
            return len(answer.data[0].b64_json)

        assert list(pool.map(size, range(CALLS))) == [LOCAL_IMAGE] * CALLS
    assert peak.bytes - before < GROWTH, f"{(peak.bytes - before) // MIB} MiB"


@contextmanager
def unread(stack: Stack) -> Iterator[None]:
    """Request images and read only the head of the response."""
    body = json.dumps(WANTED).encode()
    head = f"authorization: Bearer {stack.key}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as connection:
        connection.sendall(f"POST {GENERATIONS} HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode() + body)
        assert connection.recv(12) == b"HTTP/1.1 200"
        yield


def test_tenant_that_reads_no_responses_delays_no_other_tenant(stack: Stack) -> None:
    other, _ = create(stack, "--tenant", "painters")
    with ExitStack() as open_answers, ThreadPoolExecutor(1) as pool:
        open_answers.enter_context(unread(stack))
        waiting = pool.submit(ask, stack, "POST", GENERATIONS, WANTED)
        assert length_of_answer(stack, WANTED, other) > RESPONSE
        assert rest.generate(stack).status == 200, "links take no memory"
        assert not waiting.done()
        open_answers.close()
        assert waiting.result(timeout=30).status == 200
    eventually(lambda: ask(stack, "POST", GENERATIONS, WANTED).status == 200, 20, "the tenant is served again")
