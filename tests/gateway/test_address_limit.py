"""Limit of requests by client address: Envoy refuses a flood before it reads a body."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from imagegateway.keys.policy import Quota
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

from tests.gateway import cases
from tests.gateway.jobs.stacks import new_caller
from tests.gateway.rest import GENERATIONS, SMALL
from tests.support.stack import eventually, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.stack import Stack

LIMIT: Final = 20
EXPOSED: Final = "access-control-expose-headers"


@pytest.fixture(scope="module")
def flooded() -> Iterator[Stack]:
    """Yield a stack with a limit by address. Each test sends from addresses that no other test uses."""
    with running(address_rpm=str(LIMIT)) as stack:
        yield stack


def ask(
    stack: Stack, address: str, method: str, path: str, body: Mapping[str, Any] | None = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send a request from a local address. Return status, headers and body of the response."""
    given = {"authorization": f"Bearer {stack.key}", "content-type": "application/json", **headers}
    with closing(
        http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30, source_address=(address, 0))
    ) as connection:
        connection.request(method, path, None if body is None else json.dumps(body), given)
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def flood(stack: Stack, address: str) -> None:
    """Use up an address's requests."""
    assert [ask(stack, address, "GET", "/v1/models/sketch")[0] for _ in range(LIMIT)] == [200] * LIMIT


def refused(
    stack: Stack, address: str, method: str, path: str, body: Mapping[str, Any] | None = None, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Repeat a request until Envoy refuses it: a slow test gets one more every three seconds. Return the refusal."""
    for _ in range(LIMIT):
        answer = ask(stack, address, method, path, body, **headers)
        if answer[0] == 429 or answer[1]["grpc-status"] == "8":
            return answer
    raise AssertionError(f"{address} is not refused")


def test_flood_from_one_address_is_refused_and_no_other_address(flooded: Stack) -> None:
    flood(flooded, "127.0.1.1")
    status, headers, body = refused(flooded, "127.0.1.1", "POST", GENERATIONS, SMALL, origin="https://a.example")
    assert status == 429
    assert json.loads(body)["error"] == {
        "message": "Too many requests from your address; try again later.",
        "type": "rate_limit_error",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert 1 <= int(headers["retry-after"]) <= 3
    assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == (str(LIMIT), "0")
    assert headers["access-control-allow-origin"] == "https://a.example"
    assert {"retry-after", "x-ratelimit-limit"} <= set(headers[EXPOSED].split(", "))
    assert headers["x-request-id"]
    assert not {"grpc-status", "grpc-status-details-bin"} & {name.lower() for name in headers}
    assert [ask(flooded, f"127.0.1.{number}", "GET", "/v1/models/sketch")[0] for number in range(2, 40)] == [200] * 38


def test_refusal_does_not_wait_for_the_body(flooded: Stack) -> None:
    flood(flooded, "127.0.2.1")
    head = (
        f"POST {GENERATIONS} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {flooded.key}\r\n"
        "content-type: application/json\r\ncontent-length: 50000000\r\n\r\n"
    )

    def is_refused() -> bool:
        with socket.create_connection(("127.0.0.1", flooded.port), 2, ("127.0.2.1", 0)) as connection:
            connection.sendall(head.encode())
            with suppress(TimeoutError):  # a request was free again: Envoy waits for its body
                return connection.recv(100).startswith(b"HTTP/1.1 429 ")
        return False

    eventually(is_refused, 30, "the request is refused")


def test_native_call_from_a_flooding_address_is_resource_exhausted(flooded: Stack) -> None:
    with cases.channel(flooded) as channel:
        stub: Any = pb_grpc.ImageServiceStub(channel)

        def list_often() -> None:
            for _ in range(2 * LIMIT):
                stub.ListModels(pb.ListModelsRequest(), metadata=[cases.authorization(flooded)], timeout=30)

        with pytest.raises(grpc.RpcError) as raised:
            list_often()
    error: Any = raised.value
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == "Too many requests from your address; try again later."
    info = error_details_pb2.ErrorInfo()
    trailers = dict(error.trailing_metadata())
    assert status_pb2.Status.FromString(trailers["grpc-status-details-bin"]).details[0].Unpack(info)
    assert info.reason == "RATE_LIMIT_EXCEEDED"
    assert 1 <= int(trailers["retry-after"]) <= 3


def test_web_call_from_a_flooding_address_is_resource_exhausted(flooded: Stack) -> None:
    flood(flooded, "127.0.3.1")
    kind = "application/grpc-web+proto"
    path = "/imagegateway.v1.ImageService/ListModels"
    status, headers, body = refused(flooded, "127.0.3.1", "POST", path, {}, **{"content-type": kind})
    assert (status, headers["content-type"], headers["grpc-status"], body) == (200, "application/grpc-web", "8", b"")
    assert headers["grpc-message"] == "Too many requests from your address; try again later."


def test_rate_of_a_key_survives_the_crash_of_a_router(flooded: Stack) -> None:
    caller = new_caller(flooded, "rates-crash", quota=Quota(requests_per_minute=3))
    authorization = f"Bearer {caller.key}"
    for number in range(3):
        assert ask(flooded, f"127.0.4.{number}", "POST", GENERATIONS, SMALL, authorization=authorization)[0] == 200
    flooded.running_child("router").kill()
    states: list[int] = []

    def answers() -> bool:
        address = f"127.0.5.{len(states) % 200 + 1}"
        status, headers, _ = ask(flooded, address, "GET", "/v1/models", authorization=authorization)
        states.append(status)
        if status != 200:
            return False
        assert int(headers["x-ratelimit-remaining-requests"]) < 3
        return True

    eventually(answers, 30, "the router is back")
