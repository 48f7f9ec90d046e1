"""Idempotency keys: one job for all calls with the same key and body, in any order."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from imagegateway.v1 import image_service_pb2 as pb

from tests.gateway.inputs import FORM, data_url, file_part, form, image_bytes
from tests.gateway.jobs import wire
from tests.gateway.jobs.calls import ASYNC
from tests.gateway.rest import EDITS, assert_error
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.rest import Answer

CALLS = 50


@pytest.fixture
def key() -> dict[str, str]:
    return {"idempotency-key": uuid.uuid4().hex}


def mismatch(answer: Answer) -> None:
    assert_error(answer, 422, "idempotency_key_mismatch", "Idempotency-Key")


def test_fifty_concurrent_calls_with_one_key_make_one_job_and_one_image(fresh: Caller, key: dict[str, str]) -> None:
    with ThreadPoolExecutor(CALLS) as pool:
        answers = list(
            pool.map(lambda _: fresh.generate(key, provider_options={"delay": 1}, metadata={"a": "b"}), range(CALLS))
        )
    assert [answer.status for answer in answers] == [200] * CALLS, {answer.body for answer in answers}
    documents = [answer.json() for answer in answers]
    assert len({document["id"] for document in documents}) == 1
    assert len({document["data"][0]["seed"] for document in documents}) == 1
    assert len({answer.headers["x-job-id"] for answer in answers}) == 1
    (job,) = fresh.jobs()
    assert job["id"] == documents[0]["id"]
    assert len({fresh.fetch(document["data"][0]["url"]) for document in documents[:5]}) == 1


def test_fifty_concurrent_async_calls_with_one_key_get_the_same_job(fresh: Caller, key: dict[str, str]) -> None:
    with ThreadPoolExecutor(CALLS) as pool:
        answers = list(
            pool.map(lambda _: fresh.generate({**key, **ASYNC}, provider_options={"delay": 60}), range(CALLS))
        )
    assert [answer.status for answer in answers] == [202] * CALLS
    (job,) = fresh.jobs()
    assert {answer.json()["id"] for answer in answers} == {job["id"]}
    assert {answer.headers["location"] for answer in answers} == {f"/v1/jobs/{job['id']}"}
    fresh.cancel(job["id"])


def test_fifty_concurrent_calls_with_one_key_and_two_bodies_make_one_job(fresh: Caller, key: dict[str, str]) -> None:
    with ThreadPoolExecutor(CALLS) as pool:
        answers = list(pool.map(lambda index: fresh.generate(key, prompt=f"a boat, {index % 2}"), range(CALLS)))
    statuses = [answer.status for answer in answers]
    assert sorted(set(statuses)) == [200, 422]
    assert len({statuses[index] for index in range(0, CALLS, 2)}) == 1
    assert len(fresh.jobs()) == 1


def test_repeat_after_the_end_returns_the_same_images(fresh: Caller, key: dict[str, str]) -> None:
    first, second = fresh.generate(key), fresh.generate(key)
    assert (first.status, second.status) == (200, 200)
    assert first.json()["id"] == second.json()["id"]
    assert first.json()["created"] == second.json()["created"]
    assert second.headers["x-job-id"] == first.json()["id"]
    assert fresh.fetch(second.json()["data"][0]["url"]) == fresh.fetch(first.json()["data"][0]["url"])
    assert len(fresh.jobs()) == 1


def test_repeat_may_wait_otherwise_than_the_first(fresh: Caller, key: dict[str, str]) -> None:
    job_id = fresh.submit(1, key)
    answer = fresh.generate({**key, "prefer": "wait=30"}, provider_options={"delay": 1})
    assert (answer.status, answer.json()["id"]) == (200, job_id)
    answer = fresh.generate({**key, **ASYNC}, provider_options={"delay": 1})
    assert answer.json()["id"] == job_id
    assert answer.status in {200, 202}


@pytest.mark.parametrize("options", [{"fail": "provider_error"}, {"fail": "moderation_blocked", "delay": 0.3}])
def test_repeat_of_a_failure_is_the_same_failure(fresh: Caller, key: dict[str, str], options: dict[str, Any]) -> None:
    first, second = (fresh.generate(key, provider_options=options) for _ in range(2))
    assert first.status == second.status >= 400
    assert first.error == second.error
    assert first.headers["x-job-id"] == second.headers["x-job-id"]
    assert len(fresh.jobs()) == 1


def test_other_body_is_refused_while_the_first_runs_and_after(fresh: Caller, key: dict[str, str]) -> None:
    job_id = fresh.submit(1, key)
    mismatch(fresh.generate(key, provider_options={"delay": 1}, prompt="another"))
    fresh.end(job_id)
    mismatch(fresh.generate(key, provider_options={"delay": 1}, prompt="another"))
    assert len(fresh.jobs()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"n": 2},
        {"size": "128x64"},
        {"response_format": "b64_json"},
        {"seed": 1},
        {"metadata": {"a": "b"}},
        {"provider_options": {"steps": 3}},
        {"output_format": "webp"},
        {"user": "u"},
        {"negative_prompt": "rain"},
    ],
)
def test_every_field_is_part_of_the_body(caller: Caller, key: dict[str, str], change: dict[str, Any]) -> None:
    assert caller.generate(key).status == 200
    mismatch(caller.generate(key, **change))


def test_key_of_a_refused_request_is_still_free(caller: Caller, key: dict[str, str]) -> None:
    assert_error(caller.generate(key, n=0), 400, "invalid_value", "n")
    assert caller.generate(key).status == 200


def test_idempotency_key_is_scoped_to_its_tenant(caller: Caller, stranger: Caller, key: dict[str, str]) -> None:
    mine, theirs = caller.generate(key), stranger.generate(key, prompt="another")
    assert (mine.status, theirs.status) == (200, 200)
    assert mine.json()["id"] != theirs.json()["id"]


def test_key_may_have_255_characters(caller: Caller) -> None:
    longest = uuid.uuid4().hex.ljust(255, "x")
    assert caller.generate({"idempotency-key": longest}).status == 200
    assert_error(caller.generate({"idempotency-key": longest + "x"}), 400, "invalid_value", "Idempotency-Key")


def test_header_field_and_grpc_field_are_one_key(fresh: Caller) -> None:
    key = uuid.uuid4().hex
    first = fresh.generate({"idempotency-key": key})
    second = fresh.generate(request_id=key)
    with wire.public(fresh) as stub:
        third = stub.Generate(wire.small(request_id=key), metadata=wire.metadata(fresh), timeout=wire.SECONDS)
        fourth = stub.Generate(wire.small(), metadata=wire.metadata(fresh, idempotency_key=key), timeout=wire.SECONDS)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Generate(wire.small(request_id=key, n=2), metadata=wire.metadata(fresh), timeout=wire.SECONDS)
    assert first.json()["id"] == second.json()["id"] == third.id == fourth.id
    assert wire.code(caught.value) is grpc.StatusCode.INVALID_ARGUMENT
    assert wire.failure(caught.value).code == "idempotency_key_mismatch"
    assert len(fresh.jobs()) == 1


def edit(caller: Caller, key: dict[str, str], *files: bytes, **fields: str) -> Answer:
    parts = [file_part("image[]" if len(files) > 1 else "image", data) for data in files]
    return caller.ask("POST", EDITS, form(*parts, prompt="at night", **fields), {**FORM, **key})


def test_edit_with_the_same_files_joins_and_with_others_is_refused(fresh: Caller, key: dict[str, str]) -> None:
    red, blue = image_bytes(96, colour="red"), image_bytes(96, colour="blue")
    first = edit(fresh, key, red)
    assert first.status == 200, first.body
    assert edit(fresh, key, red).json()["id"] == first.json()["id"]
    mismatch(edit(fresh, key, blue))
    mismatch(edit(fresh, key, red, red))
    mismatch(edit(fresh, key, red, size="64x64"))
    assert len(fresh.jobs()) == 1


def test_concurrent_edits_with_one_key_make_one_job_and_leave_no_uploads(fresh: Caller, key: dict[str, str]) -> None:
    red = image_bytes(96, colour="red")
    options = '{"delay": 1}'
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: edit(fresh, key, red, provider_options=options), range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    (job,) = fresh.jobs()
    assert {answer.json()["id"] for answer in answers} == {job["id"]}
    folder = fresh.stack.data_dir / "media" / "uploads"

    def empty() -> bool:
        return not [path for path in folder.rglob("*") if path.is_file()]

    eventually(empty, 30, "the uploads are deleted")


def test_edit_by_json_or_bytes_is_the_same_body(fresh: Caller) -> None:
    key = uuid.uuid4().hex
    red = image_bytes(96, colour="red")
    body = {"prompt": "at night", "image_url": data_url(red)}
    first = fresh.ask("POST", EDITS, body, {"idempotency-key": key})
    assert first.status == 200, first.body
    second = edit(fresh, {"idempotency-key": key}, red)
    request = pb.EditRequest(prompt="at night", image_content=[red], request_id=key)
    with wire.public(fresh) as stub:
        third = stub.Edit(request, metadata=wire.metadata(fresh), timeout=wire.SECONDS)
    assert first.json()["id"] == second.json()["id"] == third.id
    assert len(fresh.jobs()) == 1


def test_streamed_repeat_joins_the_streamed_first(fresh: Caller, key: dict[str, str]) -> None:
    first = fresh.generate(key, stream=True)
    second = fresh.generate(key, stream=True)
    assert (first.status, second.status) == (200, 200)
    assert len(fresh.jobs()) == 1
    mismatch(fresh.generate(key))
