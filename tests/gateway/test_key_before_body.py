"""Calls without a valid key: refused at their headers on every protocol, before any byte of their bodies is read."""

from __future__ import annotations

import gzip
import http.client
import socket
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from imagegateway.keys import key_tags
from imagegateway.keys.root_secret import RootSecret
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

from tests.gateway import cases, rest
from tests.gateway.inputs import FORM
from tests.gateway.peak_memory import MIB, watching
from tests.gateway.rest import EDITS, GENERATIONS, ask

if TYPE_CHECKING:
    from tests.support.stack import Stack

SIZE: Final = 55 * MIB
INVALID_CREDENTIALS: Final = ("", "Bearer wrong", "Bearer igw_" + "a" * 43 + "_" + "0" * 20)
GRPC: Final = {"content-type": "application/grpc", "te": "trailers"}
GRPC_WEB: Final = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}


def send_head(stack: Stack, request_line: str, headers: dict[str, str], start: bytes = b"") -> rest.Answer:
    """Send the headers of a large request (method and path), and the start of its body. Return the answer."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
    head = f"{request_line} HTTP/1.1\r\nhost: x\r\ncontent-length: {SIZE}\r\n{lines}\r\n"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as connection:
        connection.sendall(head.encode() + start)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return rest.Answer(response.status, response.headers, response.read())


@pytest.mark.parametrize("authorization", INVALID_CREDENTIALS)
@pytest.mark.parametrize(
    ("request_line", "headers", "start"),
    [
        (f"POST {GENERATIONS}", rest.JSON, b"[0,0"),
        (f"POST {GENERATIONS}", rest.JSON, b"\0" * 65536),
        (f"POST {EDITS}", rest.JSON | {"content-encoding": "gzip"}, gzip.compress(b"[", mtime=0)),
        (f"POST {EDITS}", FORM, b"--nonsense"),
        ("PUT /v1/provider-keys/fal", rest.JSON, b""),
        ("POST /v1/webhook-secret/rotate", rest.JSON, b"{"),
        ("POST /v1/nothing", {}, b""),
        ("DELETE /v1//jobs/job_1", {}, b""),
        (f"OPTIONS {GENERATIONS}", rest.JSON, b""),
        ("POST /imagegateway.v1.RestImageService/Generate", rest.JSON, b""),
    ],
)
def test_rest_call_of_a_stranger_is_401_before_its_body_comes(
    stack: Stack, request_line: str, headers: dict[str, str], start: bytes, authorization: str
) -> None:
    answer = send_head(stack, request_line, {**headers, "authorization": authorization}, start)
    rest.assert_error(answer, 401, "invalid_api_key", kind="authentication_error")
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_stranger_and_holder_of_a_revoked_key_get_the_same_answer(stack: Stack) -> None:
    """The unknown key has a valid tag, so that only the router can refuse the key."""
    root = RootSecret((stack.data_dir / "secret-key").read_text())
    known = ask(stack, "GET", "/v1/models", key=key_tags.make_secret(root))
    strange = ask(stack, "GET", "/v1/models", key=key_tags.make_secret(RootSecret("another root secret")))
    assert (known.status, known.body) == (strange.status, strange.body)
    edge = {"date", "x-envoy-upstream-service-time"}
    assert set(known.headers) - edge == set(strange.headers) - edge


def test_key_of_an_earlier_version_is_refused_with_the_command_that_makes_another(stack: Stack) -> None:
    answer = ask(stack, "GET", "/v1/models", key="igw_" + "a" * 43)
    message = rest.assert_error(answer, 401, "invalid_api_key", kind="authentication_error")
    assert "imagegateway keys create" in message


def test_head_without_a_key_has_no_body(stack: Stack) -> None:
    answer = ask(stack, "HEAD", "/v1/models", key="")
    assert (answer.status, answer.body) == (401, b"")


def test_preflight_needs_no_key(stack: Stack) -> None:
    asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
    assert ask(stack, "OPTIONS", GENERATIONS, headers=asked, key="").status == 200


def test_browser_may_read_the_refusal(stack: Stack) -> None:
    answer = ask(stack, "GET", "/v1/models", headers={"origin": "https://app.example"}, key="")
    assert answer.headers["access-control-allow-origin"] == "https://app.example"


@pytest.mark.parametrize("path", ["/", "/assets/main.js", "/healthz", "/readyz", "/openapi.json"])
def test_page_that_is_public_needs_no_key(stack: Stack, path: str) -> None:
    assert ask(stack, "GET", path, key="").status == 200


@pytest.mark.parametrize("authorization", INVALID_CREDENTIALS)
@pytest.mark.parametrize("protocol", [GRPC, GRPC_WEB])
def test_grpc_call_of_a_stranger_is_unauthenticated_before_its_message_comes(
    stack: Stack, protocol: dict[str, str], authorization: str
) -> None:
    request_line = "POST /imagegateway.v1.ImageService/Generate"
    answer = send_head(stack, request_line, {**protocol, "authorization": authorization})
    assert (answer.status, answer.headers["grpc-status"]) == (200, "16")
    assert answer.headers["content-type"] == protocol["content-type"]
    assert answer.headers["grpc-status-details-bin"]


def test_service_that_needs_no_key_takes_no_large_message(stack: Stack) -> None:
    processes = [stack.running_child("router"), stack.running_child("envoy")]
    before = sum(process.memory_info().rss for process in processes)
    with watching(processes) as peak, cases.channel(stack) as channel:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"", timeout=30)
        for _ in range(5):
            with pytest.raises(grpc.RpcError) as caught:
                check(b"\0" * (60 * MIB), timeout=30)
            assert caught.value.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
    assert peak.bytes - before < 20 * MIB, f"{(peak.bytes - before) / MIB:.0f} MiB"


def test_messages_of_60_mb_without_a_key_use_no_memory(stack: Stack) -> None:
    request = pb.EditRequest(prompt="at night", image_content=[b"\0" * (60 * MIB)])
    processes = [stack.running_child("router"), stack.running_child("envoy")]
    before = sum(process.memory_info().rss for process in processes)
    with watching(processes) as peak, cases.channel(stack) as channel:
        for _ in range(5):
            with pytest.raises(grpc.RpcError) as caught:
                pb_grpc.ImageServiceStub(channel).Edit(request, timeout=30)
            failure = cases.read_status(caught.value)
            assert (caught.value.code(), failure.code) == (grpc.StatusCode.UNAUTHENTICATED, "invalid_api_key")
    assert peak.bytes - before < 20 * MIB, f"{(peak.bytes - before) / MIB:.0f} MiB"
