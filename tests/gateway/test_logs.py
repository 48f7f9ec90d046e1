"""Logs of a running stack: one JSON line per request, without callers' data."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.gateway import inputs, rest
from tests.gateway.inputs import FORM, file_part, form, image_bytes
from tests.gateway.rest import EDITS, GENERATIONS, SMALL, ask, assert_error, generate
from tests.support.stack import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack


def _only(stack: Stack, request_id: str, event: str) -> dict[str, Any]:
    """Return the single log line of a request with this event."""

    def found() -> list[dict[str, Any]]:
        return [line for line in stack.of_request(request_id) if line["event"] == event]

    eventually(lambda: bool(found()), 10, f"{event} is logged")
    (line,) = found()
    return line


def line_of(stack: Stack, request_id: str) -> dict[str, Any]:
    """Return the single log line of a request's end."""
    return _only(stack, request_id, "request_finished")


def job_line_of(stack: Stack, request_id: str) -> dict[str, Any]:
    """Return the single log line of the end of a request's job."""
    return _only(stack, request_id, "job_finished")


@pytest.fixture
def request_id() -> str:
    return f"log-{secrets.token_hex(8)}"


def test_generation_logs_one_line_with_its_facts(stack: Stack, request_id: str) -> None:
    answer = generate(stack, {"x-request-id": request_id}, n=2)
    line = line_of(stack, request_id)
    assert line["model"] == "local/sketch"
    assert line["provider"] == "local"
    assert line["status"] == answer.status == 200
    assert line["operation"] == "Generate"
    assert line["protocol"] == "rest"
    assert line["image_count"] == 2
    assert line["level"] == "info"
    assert line["tenant"] == "default"
    assert min(line["duration_ms"], line["provider_ms"], line["bytes"]) > 0


def test_upload_logs_one_line_with_its_bytes(stack: Stack, request_id: str) -> None:
    body = form(file_part("image", image_bytes()), prompt="at night")
    answer = ask(stack, "POST", EDITS, body, {**FORM, "x-request-id": request_id})
    assert answer.status == 200, answer.body
    line = line_of(stack, request_id)
    assert (line["status"], line["request_bytes"]) == (200, len(body))


@pytest.mark.parametrize(
    ("code", "level"),
    [("model_not_allowed", "info"), ("provider_error", "warning"), ("provider_credentials", "error")],
)
def test_failure_logs_one_line_whose_level_follows_the_blame(
    stack: Stack, request_id: str, code: str, level: str
) -> None:
    answer = generate(stack, {"x-request-id": request_id}, provider_options={"fail": code})
    line = line_of(stack, request_id)
    assert (line["status"], line["reason"], line["level"]) == (answer.status, code, level)


@pytest.mark.parametrize(
    ("traceparent", "trace_id"), [(f"00-{'ab' * 16}-{'c' * 16}-01", "ab" * 16), ("00-forged-line", None), ("", None)]
)
def test_bad_key_logs_one_line(stack: Stack, request_id: str, traceparent: str, trace_id: str | None) -> None:
    headers = {"x-request-id": request_id, "traceparent": traceparent}
    ask(stack, "POST", GENERATIONS, dict(SMALL), headers, key="wrong")
    eventually(lambda: bool(stack.of_request(request_id)), 10, "the request is logged")
    (line,) = stack.of_request(request_id)
    assert (line["event"], line["process"], line["status"]) == ("request_refused", "envoy", 401)
    assert line["trace_id"] == trace_id


def test_traceparent_of_a_caller_is_on_each_line_of_its_job_without_an_endpoint(
    stack: Stack, request_id: str
) -> None:
    headers = {"x-request-id": request_id, "traceparent": f"00-{'cd' * 16}-{'e' * 16}-01"}
    generate(stack, headers)
    line_of(stack, request_id)
    job_line_of(stack, request_id)
    lines = stack.of_request(request_id)
    assert {line["trace_id"] for line in lines} == {"cd" * 16}


def test_job_without_a_trace_ends_with_one_line_without_a_trace_id(stack: Stack, request_id: str) -> None:
    generate(stack, {"x-request-id": request_id})
    line_of(stack, request_id)
    assert job_line_of(stack, request_id)["trace_id"] is None


def test_stream_logs_one_line(stack: Stack, request_id: str) -> None:
    ask(stack, "POST", GENERATIONS, {**SMALL, "stream": True}, {"x-request-id": request_id})
    assert line_of(stack, request_id)["status"] == 200


def test_download_logs_one_line(stack: Stack, request_id: str) -> None:
    (item,) = generate(stack).json()["data"]
    size = len(ask(stack, "GET", rest.link(stack, item["url"]), headers={"x-request-id": request_id}, key="").body)
    line = line_of(stack, request_id)
    assert (line["status"], line["bytes"], line["process"]) == (200, size, "media")


def test_request_that_reaches_no_service_is_logged_by_envoy(stack: Stack, request_id: str) -> None:
    ask(stack, "GET", "/nothing?prompt=secret", headers={"x-request-id": request_id})
    eventually(lambda: bool(stack.of_request(request_id)), 10, "the request is logged")
    (line,) = stack.of_request(request_id)
    assert (line["event"], line["process"], line["path"], int(line["status"])) == (
        "request_refused",
        "envoy",
        "/nothing",
        404,
    )


def test_no_prompt_key_pixel_or_signature_is_in_the_log(stack: Stack, request_id: str) -> None:
    prompt, word, wrong = (f"{name}{secrets.token_hex(8)}" for name in ("prompt", "word", "igw_"))
    image = inputs.data_url(image_bytes(70, 70))
    headers = {"x-request-id": request_id}
    answer = ask(
        stack, "POST", EDITS, {"prompt": prompt, "negative_prompt": word, "image_url": image, "user": word}, headers
    )
    path = rest.link(stack, answer.json()["data"][0]["url"])
    ask(stack, "GET", path, headers=headers, key="")
    ask(stack, "GET", f"{path}x", headers=headers, key="")
    generate(stack, headers, prompt=prompt * 300)
    generate(stack, {"authorization": f"Bearer {wrong}", **headers})
    ask(stack, "POST", GENERATIONS, f'{{"prompt": "{prompt}", "n": "{word}"}}'.encode(), {**headers, **rest.JSON})
    ask(stack, "POST", GENERATIONS, f'{{"prompt": "{prompt}" {word}'.encode(), {**headers, **rest.JSON})
    eventually(lambda: len(stack.of_request(request_id)) >= 7, 10, "all requests are logged")
    (signature,) = parse_qs(urlsplit(path).query)["sig"]
    log = "\n".join(stack.log_lines())
    for text in (prompt, word, wrong, image[-40:], signature, stack.key):
        assert text not in log


def test_failing_media_store_is_a_plain_503_and_its_traceback_is_logged(stack: Stack, request_id: str) -> None:
    # A file where the directory of inputs belongs.
    folder: Path = stack.data_dir / "media" / "uploads"
    aside = folder.with_name("aside")
    if folder.exists():
        folder.rename(aside)
    folder.write_text("")
    try:
        body = form(file_part("image", image_bytes()), prompt="at night")
        answer = ask(stack, "POST", EDITS, body, {**FORM, "x-request-id": request_id})
    finally:
        folder.unlink()
        if aside.exists():
            aside.rename(folder)
    assert_error(answer, 503, "service_unavailable", kind="server_error")
    assert answer.headers["x-request-id"] == request_id
    assert int(answer.headers["retry-after"]) >= 1
    assert "x-should-retry" not in answer.headers, "nothing was sent to a provider"
    line = line_of(stack, request_id)
    assert (line["status"], line["level"]) == (503, "error")
    failure = next(event for event in stack.of_request(request_id) if event["event"] == "part_unavailable")
    assert "Traceback" in failure["exception"]


def test_every_line_is_a_json_object_with_event_level_time_and_process(stack: Stack) -> None:
    ask(stack, "POST", EDITS, b"garbage", FORM)
    for event in stack.events():
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.0-9]*Z", event["timestamp"]), event
        assert event["level"] in {"debug", "info", "warning", "error", "critical"}, event
        assert event["process"], event
