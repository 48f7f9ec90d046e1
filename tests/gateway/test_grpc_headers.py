"""gRPC's own headers, as no gRPC library writes them: a status that blames the caller, or an answer.

Envoy's hook sees the same headers from HTTP/1.1, gRPC-Web and HTTP/2, so that HTTP/1.1 serves these tests.
"""

from __future__ import annotations

import gzip
import re
import struct
from typing import TYPE_CHECKING, Final

import grpc
import pytest
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc
from imagegateway.v1.model_pb2 import Model

from tests.gateway import cases, rest
from tests.gateway.rest import ask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.stack import Stack

METHOD: Final = "/imagegateway.v1.ImageService/GetModel"
MESSAGE: Final = pb.GetModelRequest(model_id="local/sketch").SerializeToString()
PACKED: Final = gzip.compress(MESSAGE, mtime=0)
OK: Final = grpc.StatusCode.OK
INVALID: Final = grpc.StatusCode.INVALID_ARGUMENT


def frame(data: bytes, flag: int = 0) -> bytes:
    return struct.pack(">BI", flag, len(data)) + data


def call(stack: Stack, headers: Mapping[str, str], body: bytes = frame(MESSAGE)) -> tuple[grpc.StatusCode, str]:
    """Return status and message of a call by gRPC-Web."""
    answer = ask(stack, "POST", METHOD, body, {"content-type": "application/grpc-web+proto", **headers})
    assert answer.status == 200
    found = answer.headers["grpc-status"], answer.headers["grpc-message"] or ""
    if found[0] is None:  # the trailers are in the body
        trailers = re.findall(r"grpc-(status|message): *([^\r\n]*)", answer.body.decode("latin-1"))
        found = dict(trailers)["status"], dict(trailers).get("message", "")
    (status,) = (code for code in grpc.StatusCode if str(code.value[0]) == found[0])
    return status, found[1]


@pytest.mark.parametrize("timeout", ["nonsense", "5", "-1S", "1.5S", "123456789S", "", "1s", "1S, 2S"])
def test_malformed_grpc_timeout_is_an_invalid_argument(stack: Stack, timeout: str) -> None:
    status, message = call(stack, {"grpc-timeout": timeout})
    assert status is INVALID
    assert message.startswith("grpc-timeout must be")


@pytest.mark.parametrize("timeout", ["0S", "00n"])
def test_deadline_that_is_over_is_exceeded(stack: Stack, timeout: str) -> None:
    assert call(stack, {"grpc-timeout": timeout})[0] is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("timeout", ["99999999H", "20S", "20000m", "00000020S"])
def test_timeout_of_grpc_is_kept(stack: Stack, timeout: str) -> None:
    assert call(stack, {"grpc-timeout": timeout})[0] is OK


def test_unknown_encoding_is_unimplemented(stack: Stack) -> None:
    status, message = call(stack, {"grpc-encoding": "snappy"})
    assert status is grpc.StatusCode.UNIMPLEMENTED
    assert message == "grpc-encoding must be identity, gzip or deflate."


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", frame(PACKED, 1), OK),
        ("gzip", frame(MESSAGE), OK),
        ("gzip", frame(MESSAGE, 1), INVALID),
        ("identity", frame(PACKED, 1), INVALID),
    ],
)
def test_message_is_decoded_by_its_grpc_encoding(
    stack: Stack, encoding: str, body: bytes, status: grpc.StatusCode
) -> None:
    assert call(stack, {"grpc-encoding": encoding}, body)[0] is status


def test_compressed_message_without_an_encoding_is_an_invalid_argument(stack: Stack) -> None:
    assert call(stack, {}, frame(PACKED, 1))[0] is INVALID


@pytest.mark.parametrize(
    "name",
    [
        "x-own-bin",
        "grpc-trace-bin",
        "grpc-previous-rpc-attempts",
        "grpc-retry-pushback-ms",
        "grpc-internal-encoding-request",
        "grpc-status",
        "x-grpc-pieces",
    ],
)
def test_malformed_unused_metadata_is_ignored(stack: Stack, name: str) -> None:
    assert call(stack, {name: "%% no base64, no number %%"})[0] is OK


@pytest.mark.parametrize("headers", [{}, {"te": "gzip"}])
def test_grpc_call_without_te_is_served(stack: Stack, headers: Mapping[str, str]) -> None:
    answer = ask(stack, "POST", METHOD, frame(MESSAGE), {"content-type": "application/grpc", **headers})
    assert (answer.status, answer.headers["grpc-status"]) == (200, None)  # HTTP/1.1 has no trailers here
    assert Model.FromString(answer.body[5:]).id == "local/sketch"


def test_content_type_with_a_grpc_prefix_only_is_refused(stack: Stack) -> None:
    answer = ask(stack, "POST", METHOD, frame(MESSAGE), {"content-type": "application/grpcfoo"})
    rest.assert_error(answer, 404, "unknown_url")


def test_internal_header_of_a_rest_caller_is_ignored(stack: Stack) -> None:
    assert rest.generate(stack, {"x-grpc-pieces": "snappy"}).status == 200
    assert ask(stack, "GET", "/v1/models", headers={"x-grpc-pieces": "snappy"}).status == 200


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_large_message_of_a_grpc_library_arrives_whole(stack: Stack, compression: grpc.Compression) -> None:
    request = pb.GenerateRequest(model="local/sketch", prompt="a" * 20 * 1024 * 1024)
    with cases.channel(stack) as channel, pytest.raises(grpc.RpcError) as caught:
        pb_grpc.ImageServiceStub(channel).Generate(
            request, metadata=(cases.authorization(stack),), timeout=60, compression=compression
        )
    assert cases.read_status(caught.value).message.startswith("prompt has 20971520 characters")
