"""Bodies in flight of two tenants: the excess of one is refused at once and costs the other nothing."""

from __future__ import annotations

import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

from tests.gateway import cases, rest
from tests.gateway.peak_memory import MIB
from tests.gateway.rest import GENERATIONS, SMALL, ask
from tests.gateway.test_auth import create
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

OVER = 16 * MIB
"""Bytes over the limit together with 50 MiB. The rest after the refusal fits into the socket's buffers:
otherwise the connection is reset before the client reads the response."""


@contextmanager
def unfinished(
    stack: Stack, size: int, path: str = GENERATIONS, content_type: str = "application/json", start: bytes = b""
) -> Iterator[None]:
    """Send `start` and some bytes of a body, and keep the request incomplete."""
    length = f"content-length: {len(start) + size + 1}"
    head = f"authorization: Bearer {stack.key}\r\ncontent-type: {content_type}\r\n{length}\r\n"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode() + start + bytes(size))
        yield


def send(stack: Stack, size: int, key: str) -> rest.Answer:
    body = b'{"prompt":"a boat","size":"64x64","model":"local/sketch"}' + b" " * size
    return ask(stack, "POST", GENERATIONS, body, rest.JSON, key=key)


def test_tenant_over_its_half_gets_503_and_another_one_is_served(stack: Stack) -> None:
    other, _ = create(stack, "--tenant", "painters")
    with unfinished(stack, 50 * MIB):
        eventually(lambda: send(stack, OVER, stack.key).status == 503, 20, "the tenant is refused")
        refused = send(stack, OVER, stack.key)
        rest.assert_error(refused, 503, "overloaded", kind="server_error")
        assert int(refused.headers["retry-after"]) >= 1
        assert send(stack, OVER, other).status == 200
        assert ask(stack, "POST", GENERATIONS, dict(SMALL)).status == 200
    eventually(lambda: send(stack, OVER, stack.key).status == 200, 20, "the tenant is served again")


def is_grpc_refused(stack: Stack) -> bool:
    """Send a message of 20 MiB, and return whether it is over the budget; else its prompt is too long."""
    request = pb.GenerateRequest(model="local/sketch", prompt="a" * (20 * MIB))
    with cases.channel(stack) as channel, pytest.raises(grpc.RpcError) as caught:
        pb_grpc.ImageServiceStub(channel).Generate(request, metadata=(cases.authorization(stack),), timeout=30)
    return cases.read_status(caught.value).code == "overloaded"


def test_grpc_messages_count_as_json_does(stack: Stack) -> None:
    with unfinished(stack, 50 * MIB):
        eventually(lambda: is_grpc_refused(stack), 20, "the tenant is refused")


def test_grpc_message_counts_while_it_arrives(stack: Stack) -> None:
    prefix = struct.pack(">BI", 0, 50 * MIB + 1)
    with unfinished(stack, 50 * MIB, "/imagegateway.v1.ImageService/Generate", "application/grpc-web+proto", prefix):
        eventually(lambda: is_grpc_refused(stack), 20, "the tenant is refused")
    eventually(lambda: not is_grpc_refused(stack), 20, "the tenant is served again")
