"""Bodies in flight, of two tenants: what one sends too much is refused at once, and costs the other nothing."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

from tests.gateway import cases, rest
from tests.gateway.rest import GENERATIONS, SMALL, ask
from tests.gateway.test_auth import create
from tests.gateway.test_upload_memory import MIB
from tests.stack import eventually, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stack import Stack

LIMIT = 128
"""MiB of bodies that the router may hold: 64 of each tenant."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running(body_memory=str(LIMIT)) as own:
        yield own


@contextmanager
def unfinished(stack: Stack, size: int) -> Iterator[None]:
    """Send some bytes of a body, and leave it at that."""
    head = f"authorization: Bearer {stack.key}\r\ncontent-type: application/json\r\ncontent-length: {size + 1}\r\n"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as connection:
        connection.sendall(f"POST {GENERATIONS} HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode() + bytes(size))
        yield


def send(stack: Stack, size: int, key: str) -> rest.Answer:
    body = b'{"prompt":"a boat","size":"64x64","model":"local/sketch"}' + b" " * size
    return ask(stack, "POST", GENERATIONS, body, rest.JSON, key=key)


def test_tenant_over_its_half_gets_503_and_another_one_is_served(stack: Stack) -> None:
    other, _ = create(stack, "--tenant", "painters")
    with unfinished(stack, 50 * MIB):
        eventually(lambda: send(stack, 20 * MIB, stack.key).status == 503, 20, "the tenant is refused")
        refused = send(stack, 20 * MIB, stack.key)
        rest.assert_error(refused, 503, "overloaded", kind="server_error")
        assert int(refused.headers["retry-after"]) >= 1
        assert send(stack, 20 * MIB, other).status == 200
        assert ask(stack, "POST", GENERATIONS, dict(SMALL)).status == 200
    eventually(lambda: send(stack, 20 * MIB, stack.key).status == 200, 20, "the tenant is served again")


def test_grpc_messages_count_as_json_does(stack: Stack) -> None:
    request = pb.GenerateRequest(prompt="a" * (20 * MIB))
    with unfinished(stack, 50 * MIB), cases.channel(stack) as channel:
        stub = pb_grpc.ImageServiceStub(channel)

        def is_refused() -> bool:
            with pytest.raises(grpc.RpcError) as caught:
                stub.Generate(request, metadata=(cases.authorization(stack),), timeout=30)
            return cases.read_status(caught.value).code == "overloaded"

        eventually(is_refused, 20, "the tenant is refused")
