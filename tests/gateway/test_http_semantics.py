"""HTTP semantics on every path: responses without a body, HEAD, HTTP/1.0, paths, headers of clients and proxies."""

from __future__ import annotations

import http.client
import json
import socket
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest

from tests.gateway import cases, inputs, rest
from tests.gateway.inputs import FORM, file_part, form
from tests.gateway.rest import EDITS, GENERATIONS, SMALL, ask, assert_error, generate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.stack import Stack

ORIGIN: Final = {"origin": "https://app.example"}


@contextmanager
def kept_alive(stack: Stack) -> Iterator[http.client.HTTPConnection]:
    """Yield one connection for all requests of a test: leftover bytes of a response break the next one."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    connection.connect()
    opened = connection.sock
    try:
        yield connection
        assert connection.sock is opened, "the connection was closed in between"
    finally:
        connection.close()


def on(
    connection: http.client.HTTPConnection,
    stack: Stack,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> rest.Answer:
    connection.request(method, path, headers={"authorization": f"Bearer {stack.key}", **(headers or {})})
    response = connection.getresponse()
    return rest.Answer(response.status, response.headers, response.read())


def raw(stack: Stack, data: bytes) -> bytes:
    """Send bytes; return all that comes until the other side closes the connection."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def finished_job(stack: Stack) -> str:
    return str(generate(stack).json()["id"])


def test_not_modified_leaves_the_connection_usable(stack: Stack) -> None:
    path = f"/v1/jobs/{finished_job(stack)}"
    with kept_alive(stack) as connection:
        job = on(connection, stack, path)
        tag = job.headers["etag"]
        for condition in (tag, f"W/{tag}", f'"other", W/{tag}', "*"):
            answer = on(connection, stack, path, headers={"if-none-match": condition})
            assert (answer.status, answer.headers["etag"], answer.body) == (304, tag, b""), condition
        again = on(connection, stack, path, headers={"if-none-match": '"other"'})
        assert (again.status, again.json()["id"]) == (200, job.json()["id"])


def test_head_answers_with_the_headers_of_get_and_no_body(stack: Stack) -> None:
    job_id = finished_job(stack)
    paths = (
        f"/v1/jobs/{job_id}",
        f"/v1/files/jobs/{job_id}/0.png",
        "/v1/jobs?page_size=1",
        "/v1/models",
        "/v1/models/local/sketch",
        "/v1/jobs/job_1",
        "/v1/nothing",
        "/nothing",
        "/healthz",
        "/openapi.json",
        "/assets/main.js",
        "/docs",
        "/",
    )
    with kept_alive(stack) as connection:
        for path in paths:
            head, got = on(connection, stack, path, "HEAD"), on(connection, stack, path)
            assert head.body == b""
            for name in ("content-type", "etag"):
                assert head.headers[name] == got.headers[name], (path, name)
            assert (head.status, head.headers["content-length"]) == (got.status, str(len(got.body))), path


def test_head_of_an_event_stream_ends_at_once(stack: Stack) -> None:
    slow = generate(stack, {"prefer": "respond-async"}, provider_options={"delay": 30}).json()["id"]
    with kept_alive(stack) as connection:
        answer = on(connection, stack, f"/v1/jobs/{slow}/events", "HEAD")
        assert (answer.status, answer.headers.get_content_type()) == (200, "text/event-stream")
        assert on(connection, stack, "/healthz").status == 200
    assert ask(stack, "DELETE", f"/v1/jobs/{slow}").status == 200


@pytest.mark.parametrize("host", [b"", b"host: gateway\r\n"])
def test_http_1_0_is_served(stack: Stack, host: bytes) -> None:
    body = json.dumps(SMALL).encode()
    head = b"authorization: Bearer %s\r\ncontent-type: application/json\r\n" % stack.key.encode()
    for request in (
        b"GET /healthz HTTP/1.0\r\n%s\r\n" % host,
        b"GET /v1/models HTTP/1.0\r\n%s%s\r\n" % (host, head),
        b"POST /v1/images/generations HTTP/1.0\r\n%s%scontent-length: %d\r\n\r\n%s" % (host, head, len(body), body),
    ):
        answer = raw(stack, request)
        assert answer.startswith(b"HTTP/1.0 200 "), answer[:200]
        json.loads(answer.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models/"),
        ("GET", "/v1//models"),
        ("GET", "/v1/models/local/sketch/"),
        ("GET", "/v1/jobs/?page_size=1"),
        ("GET", "/healthz/"),
        ("GET", "/openapi.json/"),
        ("POST", f"{GENERATIONS}/"),
        ("POST", "/v1//images/generations//"),
    ],
)
def test_path_with_an_extra_slash_is_normalized(stack: Stack, method: str, path: str) -> None:
    assert ask(stack, method, path, dict(SMALL) if method == "POST" else None).status == 200


def test_form_at_a_path_with_a_trailing_slash_is_taken(stack: Stack) -> None:
    body = form(file_part("image", inputs.image_bytes()), prompt="at night")
    assert ask(stack, "POST", f"{EDITS}/?api-version=preview", body, FORM).status == 200


@pytest.mark.parametrize("given", [str(uuid.UUID(int=0x7F0F4C1A3A524F0E8A550123456789AB, version=4)), "a/b+c=", "Ü"])
def test_request_id_is_the_same_at_every_server_behind_the_edge(stack: Stack, given: str) -> None:
    body = form(file_part("image", inputs.image_bytes()), prompt="at night")
    headers = {"x-request-id": given.encode().decode("latin-1")}
    answers = (
        generate(stack, headers),
        generate(stack, headers, n=0),
        ask(stack, "POST", EDITS, body, FORM | headers),
        ask(stack, "GET", "/healthz", headers=headers),
        ask(stack, "GET", "/nothing", headers=headers),
        ask(stack, "DELETE", "/v1/models", headers=headers),
    )
    echoed = [answer.headers.get_all("x-request-id") for answer in answers]
    if given.isascii():
        assert echoed == [[given]] * len(answers)
    else:
        assert given not in str(echoed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("grpc-timeout", "null"),
        ("grpc-encoding", "gzip"),
        ("grpc-accept-encoding", "x"),
        ("te", "trailers, deflate"),
        ("x-trace-bin", "!!!"),
        ("x!#$%&'*+^`|~", "HTTP allows this name, and gRPC does not"),
        ("x-long", "a" * 20_000),
        ("user-agent", "\xff"),
    ],
)
def test_header_without_meaning_in_rest_is_ignored(stack: Stack, name: str, value: str) -> None:
    assert generate(stack, {name: value}).status == 200
    assert ask(stack, "GET", "/v1/models", headers={name: value}).status == 200


@pytest.mark.parametrize(
    ("name", "value", "status", "param"),
    [
        ("authorization", "Bearer \xff", 401, None),
        ("idempotency-key", "a\xffb", 400, "Idempotency-Key"),
        ("x-byok-fal", "a\xffb", 400, "X-BYOK-fal"),
        ("x-byok-fal", "\xa0", 400, "X-BYOK-fal"),
        ("x-byok-fal", "a" * 4097, 400, "X-BYOK-fal"),
    ],
)
def test_header_that_can_not_be_used_is_refused_at_every_door(
    stack: Stack, name: str, value: str, status: int, param: str | None
) -> None:
    body = form(file_part("image", inputs.image_bytes()), prompt="at night")
    for answer in (generate(stack, {name: value}), ask(stack, "POST", EDITS, body, {**FORM, name: value})):
        assert (answer.status, answer.error["param"]) == (status, param)
        assert answer.error["message"]


@pytest.mark.parametrize(("name", "value"), [("after", "²"), ("after", "-1"), ("Last-Event-ID", "²")])
def test_invalid_event_id_is_400(stack: Stack, name: str, value: str) -> None:
    path = f"/v1/jobs/{finished_job(stack)}/events"
    if name == "after":
        answer = ask(stack, "GET", f"{path}?after={quote(value)}")
    else:
        answer = ask(stack, "GET", path, headers={name: value.encode().decode("latin-1")})
    assert_error(answer, 400, "invalid_value", "after")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n", 400),
        (b"GET /v1/models/%00 HTTP/1.1\r\nhost: x\r\n", 400),
        (b"POST /v1/images/generations HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n", 501),
        (b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n", 403),
    ],
)
def test_refusal_of_the_edge_has_a_code_and_a_sentence(stack: Stack, request_line: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as connection:
        connection.sendall(request_line + b"\r\n")
        response = http.client.HTTPResponse(connection)
        response.begin()
        answer = rest.Answer(response.status, response.headers, response.read())
    assert answer.status == status
    assert answer.error["code"]
    assert str(answer.error["message"]).endswith(".")


def test_body_of_a_call_that_takes_none_is_not_read_back(stack: Stack) -> None:
    answer = ask(stack, "POST", "/v1/webhook-secret/rotate", b"my secret{", rest.JSON)
    assert_error(answer, 400, "invalid_json")
    assert b"my secret" not in answer.body


def test_pages_of_other_origins_may_read_the_same_headers_of_every_answer(stack: Stack) -> None:
    url = rest.link(stack, generate(stack).json()["data"][0]["url"])
    answers = (
        generate(stack, ORIGIN),
        generate(stack, ORIGIN, n=0),
        ask(stack, "GET", "/nothing", headers=ORIGIN),
        ask(stack, "GET", url, headers=ORIGIN, key=""),
        ask(stack, "GET", url, headers={**ORIGIN, "range": "bytes=0-3"}, key=""),
        ask(stack, "GET", "/healthz", headers=ORIGIN),
    )
    lists = {answer.headers["access-control-expose-headers"] for answer in answers}
    assert len(lists) == 1
    wanted = (
        "x-should-retry retry-after x-request-id x-job-id location etag content-range accept-ranges content-length"
    )
    assert set(wanted.split()) <= set(lists.pop().split(", "))
    assert all(answer.headers["access-control-allow-origin"] for answer in answers)


def test_api_responses_forbid_caching_and_content_sniffing(stack: Stack) -> None:
    body = form(file_part("image", inputs.image_bytes()), prompt="at night")
    for answer in (
        generate(stack),
        generate(stack, n=0),
        ask(stack, "POST", EDITS, body, FORM),
        ask(stack, "GET", "/v1/models"),
        ask(stack, "GET", "/v1/nothing"),
    ):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_header_with_an_underscore_is_dropped_from_grpc_metadata(stack: Stack) -> None:
    cases.run(stack, cases.Case("underscore", "generate", SMALL, {}, {"x_trace_id": "1"}))
