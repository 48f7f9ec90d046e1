"""Trailers over HTTP/2: gRPC's for gRPC alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest
from imagegateway.v1.image_service_pb2 import ListModelsRequest, StreamJobRequest

from tests.gateway import rest
from tests.gateway.rest import GENERATIONS, SMALL, generate
from tests.support import http2

if TYPE_CHECKING:
    from tests.support.http2 import Http2Response
    from tests.support.stack import Stack

JSON: Final = {"content-type": "application/json"}
LARGE: Final = {**SMALL, "size": "2048x2048", "response_format": "b64_json"}


def ask(stack: Stack, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Http2Response:
    return http2.ask(stack.port, method, path, {"authorization": f"Bearer {stack.key}", **headers}, body)


@pytest.fixture(scope="module")
def job(stack: Stack) -> str:
    return str(generate(stack).json()["id"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", "/v1/models/local/sketch"),
        ("GET", "/v1/usage"),
        ("GET", "/v1/jobs?status=failed&model=local/sketch"),
        ("GET", "/v1/jobs/{job}"),
        ("HEAD", "/v1/jobs/{job}"),
        ("GET", "/v1/jobs/{job}/events"),
        ("GET", "/v1/files/jobs/{job}/0.png"),
        ("GET", "/v1/jobs/job_absent"),
    ],
)
def test_rest_response_over_http2_has_no_trailers(stack: Stack, job: str, method: str, path: str) -> None:
    response = ask(stack, method, path.format(job=job), {})
    assert (response.header_blocks, bool(response.body)) == (1, method == "GET")


@pytest.mark.parametrize("fields", [SMALL, {**SMALL, "stream": True}, LARGE], ids=["url", "events", "large"])
def test_generation_over_http2_has_no_trailers(stack: Stack, fields: dict[str, object]) -> None:
    response = ask(stack, "POST", GENERATIONS, JSON, json.dumps(fields).encode())
    assert (response.header_blocks, b"error" in response.body[:100]) == (1, False)
    if "stream" not in fields:
        assert len(json.loads(response.body)["data"]) == 1


def test_unchanged_job_over_http2_has_neither_body_nor_trailers(stack: Stack, job: str) -> None:
    response = ask(stack, "GET", f"/v1/jobs/{job}", {"if-none-match": "*"})
    assert (response.header_blocks, response.body) == (1, b"")


def test_events_over_http2_arrive_while_their_job_runs(stack: Stack) -> None:
    running = generate(stack, {"prefer": "respond-async"}, provider_options={"delay": 60}).json()["id"]
    headers = {"authorization": f"Bearer {stack.key}"}
    frames = http2.answer_frames(stack.port, "GET", f"/v1/jobs/{running}/events", headers)
    _, (_, first) = next(frames), next(frames)
    rest.ask(stack, "DELETE", f"/v1/jobs/{running}")
    assert b"job." in first
    assert b"job.cancelled" not in first
    assert b"job.cancelled" in b"".join(payload for _, payload in frames)


@pytest.mark.parametrize("name", ["ListModels", "StreamJob"])
def test_grpc_response_keeps_its_trailers(stack: Stack, job: str, name: str) -> None:
    message = StreamJobRequest(job_id=job) if name == "StreamJob" else ListModelsRequest()
    data = message.SerializeToString()
    response = ask(
        stack,
        "POST",
        f"/imagegateway.v1.ImageService/{name}",
        {"content-type": "application/grpc", "te": "trailers"},
        b"\0" + len(data).to_bytes(4, "big") + data,
    )
    assert (response.header_blocks, bool(response.body)) == (2, True)
