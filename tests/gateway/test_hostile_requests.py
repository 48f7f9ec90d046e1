"""Any bytes at the public port: an answer that blames the caller, and a connection that still serves or is closed.

Requests are written by hand, as no HTTP client sends such headers. `tests/router/test_arbitrary_requests.py` does the
same for the values of gRPC's fields.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from imagegateway.v1 import image_service_pb2 as pb

from tests.gateway.inputs import image_bytes

if TYPE_CHECKING:
    from tests.support.stack import Stack

BOUNDED: Final = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # to shrink what hangs takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SECONDS: Final = 30.0
"""Longest accepted silence of the gateway in seconds: a request that hangs fails the test."""
OF_A_ROUTE: Final = {"provider_not_configured", "provider_unavailable"}
"""Codes of 503 after a choice of model or key: no provider is configured here."""
BOUNDARY: Final = b"fold"

TEXT: Final = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"\xff", b"\xc3\xa9", b"null", b"-1", b"1e999", b"9" * 40, b"NaN", b"Infinity", b'"', b";=,", b"\t"]
    ),
).map(lambda value: value.translate(None, b"\r\n\0"))
"""Header values: any bytes but line ends."""
NAMES: Final = st.sampled_from(
    [
        *(b"authorization", b"idempotency-key", b"x-byok-fal", b"x-byok-openai", b"prefer", b"x-request-id"),
        *(b"content-encoding", b"accept", b"accept-encoding", b"user-agent", b"last-event-id", b"if-none-match"),
        *(
            b"grpc-timeout",
            b"grpc-encoding",
            b"grpc-trace-bin",
            b"te",
            b"origin",
            b"cookie",
            b"range",
            b"x-http-method",
            b"x-body-length",
        ),
        *(
            b"expect",
            b"x-envoy-original-path",
            b"x-http-status",
            b"x-oai-error",
            b"x-envoy-upstream-rq-timeout-ms",
            b"x_y",
        ),
        *(b"expect", b"e^9", b"a'b", b"x!#$%&*+|~`"),
    ]
)
HEADERS: Final = st.lists(st.tuples(NAMES, TEXT), max_size=4)
QUERIES: Final = st.one_of(
    st.just(b""),
    st.binary(max_size=30).map(lambda value: b"?" + value.translate(None, b" \t\r\n\0\x0b\x0c#")),
    st.sampled_from(
        [b"?page_size=NaN", b"?page_size=1e9", b"?model=%ff", b"?%00=%00", b"?page_token=%c3", b"?after=\xb2"]
    ),
)
READ_PATHS: Final = st.sampled_from(
    [
        *(b"/v1/jobs", b"/v1/models", b"/v1/models/%ff", b"/v1/jobs/\xff", b"/v1/jobs/job_0/events", b"/v1/usage"),
        *(
            b"/media/a/b/c",
            b"/media/%ff/%00/..",
            b"/v1/files/jobs/x/0.png/signed",
            b"/openapi.json",
            b"/",
            b"//",
            b"/v1/../x",
        ),
        *(b"/v1/provider-keys", b"/v1/webhook-secret", b"/imagegateway.v1.ImageService/Generate"),
    ]
)
JSON_VALUES: Final = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=12),
        st.sampled_from(["1e999", "\ud800"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=5,
)
FIELDS: Final = st.sampled_from(sorted(pb.GenerateRequest.DESCRIPTOR.fields_by_name)).filter(
    lambda name: name != "model"
)
JSON_BODIES: Final = st.one_of(
    st.binary(max_size=60),
    st.dictionaries(FIELDS, JSON_VALUES, max_size=4).map(
        lambda values: json.dumps({"model": "local/sketch", "prompt": "a fox", "size": "64x64", **values}).encode()
    ),
    st.sampled_from([b"\0" * 5000, b"[" * 5000, b"{" * 5000, b'{"n": NaN}', b'{"seed": 1e999}', b'"\\ud800"']),
)
"""Text as JSON or any bytes. `json.dumps` writes NaN and Infinity, and halves of surrogate pairs."""
PART_NAMES: Final = st.one_of(
    FIELDS.map(str.encode),
    TEXT,
    st.sampled_from([b"image", b"image[]", b"mask", b"images[\xc2\xb2]", b"metadata[a]", b"provider_options[x]"]),
)
PARTS: Final = st.tuples(PART_NAMES, st.booleans(), st.one_of(TEXT, st.just(image_bytes())))
BOUNDARIES: Final = st.one_of(
    st.just(b"multipart/form-data; boundary=" + BOUNDARY),
    TEXT.map(lambda value: b"multipart/form-data; boundary=" + value),
    TEXT.map(lambda value: b"multipart/form-data" + value),
)


def exchange(stack: Stack, request: bytes) -> None:
    """Send a request, check its answer, and use the connection once more unless the gateway closes it."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=SECONDS) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection, method=request.partition(b" ")[0].decode())
        answer.begin()
        body = answer.read()
        assert_blames_the_caller(answer, body)
        if answer.will_close:
            assert connection.recv(1) == b"", "the connection says that it closes, and goes on"
            return
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n")
        after = http.client.HTTPResponse(connection, method="GET")
        after.begin()
        assert (after.status, after.read()) == (200, b'{"status": "ok"}')


def assert_blames_the_caller(answer: http.client.HTTPResponse, body: bytes) -> None:
    grpc_status = answer.headers.get("grpc-status")
    if grpc_status is not None:
        assert grpc_status not in {"2", "13"}, answer.headers["grpc-message"]
    if answer.status >= 500:
        assert json.loads(body)["error"]["code"] in OF_A_ROUTE, (answer.status, body)


def head(
    stack: Stack, method: bytes, target: bytes, content_type: bytes, headers: list[tuple[bytes, bytes]]
) -> bytes:
    """Return the head of a request, with the key unless `headers` have another."""
    lines = [method + b" " + target + b" HTTP/1.1", b"host: gateway"]
    if content_type:
        lines.append(b"content-type: " + content_type)
    if not any(name == b"authorization" for name, _ in headers):
        lines.append(b"authorization: Bearer " + stack.key.encode())
    return b"\r\n".join([*lines, *(name + b": " + value for name, value in headers)]) + b"\r\n"


def with_body(started: bytes, body: bytes) -> bytes:
    return started + b"content-length: %d\r\n\r\n" % len(body) + body


@BOUNDED
@given(READ_PATHS, QUERIES, HEADERS, st.sampled_from([b"GET", b"HEAD", b"DELETE", b"PUT", b"BREW"]))
def test_reading_call_of_any_bytes_is_answered(
    stack: Stack, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], method: bytes
) -> None:
    exchange(stack, head(stack, method, path + query, b"", headers) + b"\r\n")


@BOUNDED
@given(
    st.sampled_from(
        [b"/v1/images/generations", b"/v1/videos/generations", b"/v1/images/edits", b"/v1/provider-keys/fal"]
    ),
    QUERIES,
    HEADERS,
    JSON_BODIES,
)
def test_json_body_of_any_bytes_is_answered(
    stack: Stack, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    method = b"PUT" if path.endswith(b"fal") else b"POST"
    exchange(stack, with_body(head(stack, method, path + query, b"application/json", headers), body))


@BOUNDED
@given(BOUNDARIES, HEADERS, st.lists(PARTS, max_size=4), st.binary(max_size=10))
def test_form_of_any_bytes_is_answered(
    stack: Stack,
    content_type: bytes,
    headers: list[tuple[bytes, bytes]],
    parts: list[tuple[bytes, bool, bytes]],
    rest: bytes,
) -> None:
    body = b"".join(
        b'--%b\r\ncontent-disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
        % (BOUNDARY, name, b'; filename="a.png"' if is_file else b"", value)
        for name, is_file, value in parts
    )
    started = head(stack, b"POST", b"/v1/images/edits", content_type, headers)
    exchange(stack, with_body(started, body + b"--" + BOUNDARY + b"--\r\n" + rest))


@st.composite
def frames(draw: Any) -> bytes:
    """Draw a gRPC message, complete or truncated, or arbitrary bytes.

    Without the flag of packed messages: where no encoding is named, gRPC's specification wants INTERNAL.
    """
    request = pb.GenerateRequest(model="local/sketch", prompt=draw(st.text(max_size=8)), size="64x64")
    data: bytes = draw(st.one_of(st.just(request.SerializeToString()), st.binary(max_size=30)))
    length = draw(st.sampled_from([len(data), 0, len(data) + 1, 0xFFFFFFFF]))
    return struct.pack(">BI", draw(st.sampled_from([0, 0, 0, 0x80])), length) + data


@BOUNDED
@given(
    st.sampled_from([b"Generate", b"Edit", b"GetJob", b"ListJobs", b"StreamJob", b"Nothing"]),
    st.sampled_from([b"application/grpc-web+proto", b"application/grpc-web-text", b"application/grpc-web"]),
    HEADERS,
    frames(),
)
def test_grpc_web_call_of_any_bytes_is_answered(
    stack: Stack, method: bytes, content_type: bytes, headers: list[tuple[bytes, bytes]], frame: bytes
) -> None:
    started = head(stack, b"POST", b"/imagegateway.v1.ImageService/" + method, content_type, headers)
    exchange(stack, with_body(started, base64.b64encode(frame) if content_type.endswith(b"text") else frame))


@pytest.mark.parametrize("value", [b"\xff", b"a miracle", b"100-continue, more"])
@pytest.mark.parametrize("target", [b"/", b"/media/a/b/c", b"/readyz", b"/v1/models", b"/v1/images/edits"])
def test_expectation_of_any_value_changes_no_answer(stack: Stack, target: bytes, value: bytes) -> None:
    method, kind = (b"POST", b"multipart/form-data") if target.endswith(b"edits") else (b"GET", b"")
    exchange(stack, head(stack, method, target, kind, [(b"expect", value)]) + b"\r\n")


@pytest.mark.parametrize("method", [b"Generate", b"GetJob", b"StreamJob"])
def test_grpc_message_that_ends_early_is_refused_at_once(stack: Stack, method: bytes) -> None:
    started = head(stack, b"POST", b"/imagegateway.v1.ImageService/" + method, b"application/grpc-web+proto", [])
    with socket.create_connection(("127.0.0.1", stack.port), timeout=SECONDS) as connection:
        connection.sendall(with_body(started, struct.pack(">BI", 0, 100) + b"a part"))
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.headers["grpc-status"] == str(grpc.StatusCode.INVALID_ARGUMENT.value[0])
        assert answer.headers["grpc-message"] == "The request ends before its message does."


@pytest.mark.parametrize(
    "raw",
    [b"\0" * 4096, b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64],
    ids=["zeros", "tls", "http2"],
)
def test_bytes_of_another_protocol_end_their_connection_only(stack: Stack, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", stack.port), timeout=SECONDS) as connection:
        connection.sendall(raw)
        while connection.recv(65536):
            pass
    exchange(stack, b"GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n")
