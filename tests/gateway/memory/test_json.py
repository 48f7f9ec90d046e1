"""JSON bodies in memory: at most three times their size until the response, and none without a key."""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING

import grpc
import pytest
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

from tests.gateway import cases, inputs, rest
from tests.gateway.peak_memory import MIB, watching
from tests.gateway.rest import EDITS, GENERATIONS, ask

if TYPE_CHECKING:
    from tests.support.stack import Stack

SIZE = 50 * MIB
SLACK = 64 * MIB
"""Freed bytes that the allocator may keep (MALLOC_TRIM_THRESHOLD_)."""
TIMES = 3
"""Large bodies in a row: three that stay exceed the limit."""


@pytest.mark.parametrize("path", [GENERATIONS, EDITS, "/v1/videos/generations", "/v1/provider-keys/fal"])
def test_key_is_judged_before_any_byte_of_the_body_has_come(stack: Stack, path: str) -> None:
    method = "PUT" if "keys" in path else "POST"
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {SIZE}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as connection:
        connection.sendall(head.encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        answer = rest.Answer(response.status, response.headers, response.read())
    rest.assert_error(answer, 401, "invalid_api_key", kind="authentication_error")


@pytest.mark.parametrize(
    ("start", "unit", "end", "status"),
    [
        (b'{"prompt":"a boat","image_url":"data:image/png;base64,', b"A", b'"}', 400),
        ('{"prompt":"灯台","image_url":"data:image/png;base64,'.encode(), b"A", b'"}', 400),
        (b"[", b"0,", b"0]", 413),
        (b'{"a":[', b"{},", b"{}]}", 413),
        (b'{"a":[', b'"",', b'""]}', 413),
        (b"", b"\0", b"", 400),
        (b"", b"[", b"", 413),
        (b"", b"[[0],", b"0]", 413),
        (b'{"prompt":"', b"\\u0041", b'"}', 400),
        (b'{"prompt":"', b'\\"', b'"}', 413),
        (b'{"prompt":"', b"\xff", b'"}', 413),
        (b'{"prompt":"a boat"', b" ", b"", 400),
        (b'{"prompt":', b"9", b"}", 400),
        (b'{"a":[', b'"%s\xf0\x9f\x98\x80",' % (b"a" * 6000), b"0]}", 413),
        (b'{"prompt":"', b"a", b'\\ud83d\\ude00"}', 413),
    ],
    ids=[
        *("text", "text of two alphabets", "numbers", "objects", "texts", "zeros", "open lists", "nested lists"),
        *("escapes", "escaped quotes", "no UTF-8", "cut off", "one number", "wide texts", "one wide escape"),
    ],
)
def test_memory_of_a_json_body_is_at_most_three_times_its_size(
    stack: Stack, start: bytes, unit: bytes, end: bytes, status: int
) -> None:
    body = start + unit * (SIZE // len(unit)) + end
    assert_bounded_memory(stack, GENERATIONS, body, status)


def test_memory_of_an_image_in_json_is_at_most_three_times_its_size(stack: Stack) -> None:
    fields = {**rest.SMALL, "image_url": inputs.data_url(inputs.padded(inputs.MAX_FILE))}
    assert_bounded_memory(stack, EDITS, json.dumps(fields).encode(), 200)


def assert_bounded_memory(stack: Stack, path: str, body: bytes, status: int) -> None:
    processes = [stack.running_child("router"), stack.running_child("envoy")]
    before = sum(process.memory_info().rss for process in processes)
    with watching(processes) as peak:
        answer = ask(stack, "POST", path, body, rest.JSON)
    assert answer.status == status, answer.body
    grown = peak.bytes - before
    assert grown < 3 * len(body) + SLACK, f"{grown / len(body):.1f} bytes a byte"


@pytest.mark.parametrize(("start", "status"), [(b"{", 400), (b'{"prompt":"a","size":"64x64"}', 200), (b"[0,", 400)])
def test_router_memory_for_large_bodies_is_bounded(stack: Stack, start: bytes, status: int) -> None:
    router = stack.running_child("router")
    before = router.memory_info().rss
    kept = []
    for _ in range(TIMES):
        assert ask(stack, "POST", GENERATIONS, start + b" " * SIZE, rest.JSON).status == status
        kept.append((router.memory_info().rss - before) // MIB)
    assert max(kept) * MIB < 2 * SLACK, kept


def test_router_memory_for_large_messages_is_bounded(stack: Stack) -> None:
    router = stack.running_child("router")
    before = router.memory_info().rss
    kept = []
    request = pb.GenerateRequest(model="local/sketch", prompt="a" * SIZE)
    with cases.channel(stack) as channel:
        stub = pb_grpc.ImageServiceStub(channel)
        for _ in range(TIMES):
            with pytest.raises(grpc.RpcError, match="characters"):
                stub.Generate(request, metadata=(cases.authorization(stack),), timeout=30)
            kept.append((router.memory_info().rss - before) // MIB)
    assert max(kept) * MIB < 2 * SLACK, kept
