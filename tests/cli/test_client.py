"""Client of the public API: answers, pages, events, and errors in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx  # noqa: TID251  the transport that replaces the network
import pytest
from imagegateway.cli.client import ApiError, Client, UnreachableError
from imagegateway.cli.errors import CommandError
from imagegateway.cli.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answer = Callable[[httpx.Request], httpx.Response]


def client(answer: Answer) -> Client:
    return Client(Target("https://images.test/base", "a-key"), httpx.MockTransport(answer))


class Broken(httpx.SyncByteStream):
    """Body whose connection breaks after its first bytes."""

    def __iter__(self) -> Iterator[bytes]:
        yield b'data: {"status": "queued"}\n\n'
        raise httpx.ReadError("connection reset")


def test_call_carries_the_key_and_keeps_the_path_of_the_address() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer a-key"
        assert str(request.url) == "https://images.test/base/v1/models?provider=bfl"
        return httpx.Response(200, json={"object": "list"})

    assert client(answer).call("GET", "/v1/models", params={"provider": "bfl"}) == {"object": "list"}


def test_pages_join_to_one_list() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        token = request.url.params.get("page_token", "")
        following = {"": "b", "b": "c"}.get(token, "")
        return httpx.Response(200, json={"data": [{"id": token}], "next_page_token": following})

    assert [entry["id"] for entry in client(answer).pages("/v1/jobs")] == ["", "b", "c"]


def test_events_are_parsed_across_chunks_without_comments_and_end_mark() -> None:
    body = (
        b': wait\n\nevent: job.queued\ndata: {"status": "queued"}\n\ndata: {"status": "running"}\n\ndata: [DONE]\n\n'
    )
    stream = httpx.ByteStream(body)
    found = client(lambda _: httpx.Response(200, stream=stream)).events("GET", "/v1/jobs/job_1/events")
    assert [event["status"] for event in found] == ["queued", "running"]


def test_stream_that_breaks_yields_its_events_and_is_unreachable_then() -> None:
    events = client(lambda _: httpx.Response(200, stream=Broken())).events("GET", "/v1/jobs/job_1/events")
    assert next(events) == {"status": "queued"}
    with pytest.raises(UnreachableError, match=r"the gateway at https://images\.test/base can't be reached"):
        next(events)


def test_refusal_has_the_fields_of_its_body() -> None:
    error = {
        "message": "Unknown model.",
        "code": "model_not_found",
        "param": "model",
        "type": "invalid_request_error",
    }
    answer = httpx.Response(404, json={"error": error}, headers={"x-request-id": "req-1"})
    with pytest.raises(ApiError, match=r"^Unknown model\.$") as caught:
        client(lambda _: answer).call("GET", "/v1/models/x")
    found = caught.value
    assert (found.status, found.code, found.param, found.request_id) == (404, "model_not_found", "model", "req-1")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"error": "no"}', b'{"error": {"message": null}}', b""])
def test_refusal_of_another_server_names_its_status(body: bytes) -> None:
    with pytest.raises(ApiError, match=r"^the gateway answered with status 502$"):
        client(lambda _: httpx.Response(502, content=body)).request("GET", "/v1/models")
    with pytest.raises(ApiError, match=r"^the gateway answered with status 502$"):
        list(client(lambda _: httpx.Response(502, content=body)).events("GET", "/v1/jobs/1/events"))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
def test_answer_without_an_object_is_not_that_of_a_gateway(body: bytes) -> None:
    with pytest.raises(CommandError, match="is no gateway"):
        client(lambda _: httpx.Response(200, content=body)).call("GET", "/v1/models")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (httpx.ConnectError("refused"), "can't be reached (refused)"),
        (httpx.ConnectError(""), "can't be reached"),
        (httpx.ReadTimeout(""), "does not answer"),
    ],
)
def test_broken_network_is_one_sentence(error: httpx.TransportError, message: str) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(UnreachableError) as caught:
        client(fail).request("GET", "/v1/models")
    assert str(caught.value) == f"the gateway at https://images.test/base {message}"
