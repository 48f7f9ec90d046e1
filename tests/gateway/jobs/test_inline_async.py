"""Inline and async mode: their selection and responses over REST and gRPC."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.gateway.inputs import FORM, file_part, form, image_bytes
from tests.gateway.jobs import wire
from tests.gateway.jobs.calls import ASYNC, marked, with_mark
from tests.gateway.jobs.stacks import new_caller
from tests.gateway.rest import GENERATIONS, JSON, SMALL, assert_error
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.rest import Answer
    from tests.support.stack import Stack

SLOW: dict[str, Any] = {"provider_options": {"delay": 30}}
BRIEF: dict[str, Any] = {"provider_options": {"delay": 0.5}}


def accepted(answer: Answer) -> str:
    """Check all of a 202 and return the job's id."""
    assert answer.status == 202, answer.body
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert answer.headers["x-job-id"] == job["id"]
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["x-request-id"]
    assert (job["object"], job["type"], job["modality"]) == ("job", "image.generation", "image")
    assert (job["model"], job["provider"]) == ("local/sketch", "local")
    assert job["status"] in {"queued", "running"}
    assert isinstance(job["created_at"], int)
    assert job["updated_at"] >= job["created_at"]
    assert not {"data", "created", "result", "error", "completed_at"} & set(job), job
    job_id: str = job["id"]
    return job_id


def test_inline_answer_is_the_images_and_names_its_job(caller: Caller) -> None:
    answer = caller.generate()
    assert answer.status == 200
    document = answer.json()
    assert answer.headers["x-job-id"] == document["id"]
    assert not {"location", "retry-after", "preference-applied"} & {name.lower() for name in answer.headers}
    assert not {"object", "status"} & set(document)
    job = caller.job(document["id"])
    assert (job["status"], job["progress"]) == ("completed", 100)
    assert job["result"]["data"][0]["seed"] == document["data"][0]["seed"]
    assert caller.fetch(job["result_url"]) == caller.fetch(document["data"][0]["url"])
    assert job["result"]["file_url"] == job["result_url"]
    assert job["created_at"] <= job["started_at"] <= job["completed_at"] < job["expires_at"]


def test_respond_async_is_202_at_once_and_the_job_completes(caller: Caller) -> None:
    answer = caller.generate(ASYNC, metadata={"a": "b"}, **BRIEF)
    job_id = accepted(answer)
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.json()["metadata"] == {"a": "b"}
    job = caller.end(job_id)
    assert (job["status"], job["metadata"]) == ("completed", {"a": "b"})
    assert caller.fetch(job["result_url"])


def test_error_of_a_failed_async_job_is_on_the_job(caller: Caller) -> None:
    job_id = accepted(caller.generate(ASYNC, provider_options={"delay": 0.2, "fail": "moderation_blocked"}))
    job = caller.end(job_id)
    assert job["status"] == "failed"
    assert (job["error"]["code"], job["error"]["type"]) == ("moderation_blocked", "image_generation_user_error")
    assert job["error"]["message"]
    assert not {"result", "result_url", "expires_at"} & set(job)


def test_inline_failure_is_an_error_and_a_failed_job(caller: Caller) -> None:
    answer = caller.generate(provider_options={"fail": "provider_error"})
    assert_error(answer, 502, "provider_error", kind="provider_error")
    assert answer.headers["x-should-retry"] == "false"
    assert caller.job(answer.headers["x-job-id"])["status"] == "failed"


def test_wait_that_suffices_is_200(caller: Caller) -> None:
    answer = caller.generate({"prefer": "wait=30"}, **BRIEF)
    assert answer.status == 200, answer.body
    assert answer.headers["preference-applied"] == "wait=30"
    assert caller.fetch(answer.json()["data"][0]["url"])


def test_wait_that_does_not_suffice_is_202(caller: Caller) -> None:
    answer = caller.generate({"prefer": "wait=1"}, **SLOW)
    job_id = accepted(answer)
    assert answer.headers["preference-applied"] == "wait=1"
    caller.cancel(job_id)


def test_wait_over_the_limit_is_reduced_and_reported(caller: Caller) -> None:
    answer = caller.generate({"prefer": "wait=100000"})
    assert (answer.status, answer.headers["preference-applied"]) == (200, "wait=600")


def test_invalid_wait_is_refused_naming_the_header(caller: Caller) -> None:
    assert_error(caller.generate({"prefer": "wait=soon"}), 400, "invalid_value", "Prefer")


def test_async_edit_returns_a_job(caller: Caller) -> None:
    body = form(file_part("image", image_bytes(96)), prompt="at night", provider_options='{"delay": 0.5}')
    answer = caller.ask("POST", "/v1/images/edits", body, {**FORM, **ASYNC})
    assert answer.status == 202, answer.body
    assert answer.json()["type"] == "image.edit"
    job = caller.end(answer.json()["id"])
    assert (job["status"], job["type"], job["result"]["data"][0]["width"]) == ("completed", "image.edit", 96)


def test_key_with_a_default_preference_needs_no_header(stack: Stack) -> None:
    waiting = new_caller(stack, "prefers", prefer="wait=1")
    answer = waiting.generate(**SLOW)
    assert answer.headers["preference-applied"] == "wait=1"
    waiting.cancel(accepted(answer))
    answer = waiting.generate({"prefer": "wait=30"}, **BRIEF)  # a header says it for this call
    assert (answer.status, answer.headers["preference-applied"]) == (200, "wait=30")


def test_key_with_a_default_preference_polls_without_waiting(stack: Stack) -> None:
    waiting = new_caller(stack, "prefers", prefer="wait=600")
    job_id = accepted(waiting.generate({"prefer": "respond-async"}, **SLOW))
    answer = waiting.ask("GET", f"/v1/jobs/{job_id}")
    assert (answer.status, answer.headers["preference-applied"]) == (200, None)
    waiting.cancel(job_id)


def test_key_with_a_default_of_respond_async_always_gets_jobs(stack: Stack) -> None:
    waiting = new_caller(stack, "prefers", prefer="respond-async")
    assert waiting.end(accepted(waiting.generate()))["status"] == "completed"


@pytest.mark.parametrize("route", ["public", "router"])
def test_prefer_metadata_over_grpc_means_the_same_as_over_rest(caller: Caller, route: str) -> None:
    opened = wire.public(caller) if route == "public" else wire.router(caller, 0)
    with opened as stub:
        answer, call = stub.Generate.with_call(
            wire.small(**BRIEF), metadata=wire.metadata(caller, prefer="wait=30"), timeout=wire.SECONDS
        )
        metadata = dict(call.initial_metadata())
        assert metadata["preference-applied"] == "wait=30"
        assert metadata["x-job-id"] == answer.id
        assert answer.data[0].url
        assert not answer.HasField("status")
        answer, call = stub.Generate.with_call(
            wire.small(**SLOW), metadata=wire.metadata(caller, prefer="respond-async"), timeout=wire.SECONDS
        )
        metadata = dict(call.initial_metadata())
        assert metadata["location"] == f"/v1/jobs/{answer.id}"
        assert (metadata["x-job-id"], metadata["preference-applied"]) == (answer.id, "respond-async")
        assert int(metadata["retry-after"]) >= 1
        assert (answer.object, answer.type) == ("job", "image.generation")
        assert answer.status in {"queued", "running"}
        assert not answer.data
        assert not answer.HasField("created")
    caller.cancel(answer.id)


def test_disconnected_caller_does_not_stop_its_job(caller: Caller, mark: str) -> None:
    body = json.dumps({**SMALL, "provider_options": {"delay": 2}, "metadata": marked(mark)})
    headers = {"authorization": f"Bearer {caller.key}", **JSON}
    with closing(http.client.HTTPConnection("127.0.0.1", caller.stack.port, timeout=60)) as connection:
        connection.request("POST", GENERATIONS, body, headers)
        eventually(lambda: bool(with_mark(caller.page()["data"], mark)), 30, "the job is in the list")
    (job,) = with_mark(caller.page()["data"], mark)
    job = caller.end(job["id"])
    assert job["status"] == "completed"
    assert caller.fetch(job["result_url"])


def test_disconnected_grpc_caller_does_not_stop_its_job(caller: Caller, mark: str) -> None:
    request = wire.small(provider_options={"delay": 2}, metadata=marked(mark))
    with wire.public(caller) as stub:
        call = stub.Generate.future(request, metadata=wire.metadata(caller), timeout=wire.SECONDS)
        eventually(lambda: bool(with_mark(caller.page()["data"], mark)), 30, "the job is in the list")
        call.cancel()
    (job,) = with_mark(caller.page()["data"], mark)
    assert caller.end(job["id"])["status"] == "completed"


def test_grpc_caller_whose_deadline_passes_finds_the_job(caller: Caller, mark: str) -> None:
    request = wire.small(provider_options={"delay": 30}, metadata=marked(mark))
    with wire.public(caller) as stub, pytest.raises(grpc.RpcError) as caught:
        stub.Generate(request, metadata=wire.metadata(caller), timeout=4)
    assert wire.code(caught.value) is grpc.StatusCode.DEADLINE_EXCEEDED
    (job,) = with_mark(caller.page()["data"], mark)
    assert job["status"] == "running"
    caller.cancel(job["id"])
