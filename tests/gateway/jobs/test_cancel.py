"""CancelJob and its alias DELETE: cancelled jobs stay cancelled, ended ones keep their state."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest
from imagegateway.v1 import image_service_pb2 as pb

from tests.gateway.jobs import sse, wire
from tests.gateway.jobs.calls import marked, with_mark
from tests.gateway.rest import assert_error
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller

WAYS = [("DELETE", ""), ("POST", "/cancel")]


@pytest.mark.parametrize(("method", "suffix"), WAYS)
def test_cancelled_job_never_completes(caller: Caller, method: str, suffix: str) -> None:
    job_id = caller.submit(3)
    answer = caller.ask(method, f"/v1/jobs/{job_id}{suffix}")
    assert answer.status == 200, answer.body
    job = answer.json()
    assert (job["id"], job["status"]) == (job_id, "cancelled")
    assert job["completed_at"] >= job["created_at"]
    assert not {"result", "result_url", "error"} & set(job)
    time.sleep(4)  # past the moment when it would have been done
    later = caller.job(job_id)
    # The end of the provider call is written after the answer.
    assert later.pop("updated_at") >= job.pop("updated_at")
    assert later == job
    assert job_id in [listed["id"] for listed in caller.jobs(status="cancelled")]


@pytest.mark.parametrize(("method", "suffix"), WAYS)
@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_cancel_of_an_ended_job_changes_nothing(caller: Caller, method: str, suffix: str, end: str) -> None:
    options = {"fail": "provider_error"} if end == "failed" else {"delay": 30 if end == "cancelled" else 0}
    job_id = caller.submit(provider_options=options)
    if end == "cancelled":
        caller.cancel(job_id)
    ended = caller.end(job_id)
    assert ended["status"] == end
    answer = caller.ask(method, f"/v1/jobs/{job_id}{suffix}")
    assert answer.status == 200
    same = {"status", "completed_at", "updated_at", "error"} & set(ended)
    assert {name: answer.json()[name] for name in same} == {name: ended[name] for name in same}
    assert caller.job(job_id)["status"] == end


def test_cancel_with_an_empty_json_body_is_accepted(caller: Caller) -> None:
    job_id = caller.submit(30)
    answer = caller.ask("POST", f"/v1/jobs/{job_id}/cancel", {})
    if answer.status != 200:  # either is an answer; neither may half-cancel
        assert answer.status == 400, answer.body
        assert caller.job(job_id)["status"] == "running"
        caller.cancel(job_id)
    assert caller.job(job_id)["status"] == "cancelled"


def test_cancel_over_grpc_returns_the_cancelled_job(caller: Caller) -> None:
    with wire.public(caller) as stub:
        job_id = wire.submit(stub, caller, delay=30)
        job = stub.CancelJob(pb.CancelJobRequest(job_id=job_id), metadata=wire.metadata(caller), timeout=wire.SECONDS)
    assert (job.id, job.status) == (job_id, "cancelled")
    assert caller.job(job_id)["status"] == "cancelled"


def test_cancel_ends_the_call_that_waits_inline(caller: Caller, mark: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(caller.generate, metadata=marked(mark), provider_options={"delay": 60})
        eventually(lambda: bool(with_mark(caller.page()["data"], mark)), 30, "the job is in the list")
        (job,) = with_mark(caller.page()["data"], mark)
        caller.cancel(job["id"])
        assert_error(waiting.result(30), 499, "cancelled")


def test_cancel_ends_the_grpc_call_that_waits_inline(caller: Caller, mark: str) -> None:
    request = wire.small(metadata=marked(mark), provider_options={"delay": 60})
    with wire.public(caller) as stub:
        waiting = stub.Generate.future(request, metadata=wire.metadata(caller), timeout=wire.SECONDS)
        eventually(lambda: bool(with_mark(caller.page()["data"], mark)), 30, "the job is in the list")
        (job,) = with_mark(caller.page()["data"], mark)
        caller.cancel(job["id"])
        error = waiting.exception(timeout=30)
    assert isinstance(error, grpc.RpcError)
    assert wire.code(error) is grpc.StatusCode.CANCELLED
    assert wire.failure(error).code == "cancelled"


def test_cancels_at_the_same_moment_agree(caller: Caller) -> None:
    job_id = caller.submit(30)
    with ThreadPoolExecutor(10) as pool:
        jobs = list(pool.map(lambda _: caller.cancel(job_id), range(10)))
    assert {job["status"] for job in jobs} == {"cancelled"}
    assert len({job["completed_at"] for job in jobs}) == 1


def test_cancel_that_races_the_end_stores_one_final_state(caller: Caller) -> None:
    """The cancel's response, the subscriber's last event and the job's final state agree."""

    def race(step: int) -> None:
        job_id = caller.submit(0.4)
        follower = sse.Follower(caller, job_id)
        time.sleep(0.3 + step * 0.015)
        answered = caller.cancel(job_id)
        assert answered["status"] in {"completed", "cancelled"}
        assert follower.result(30)[-1].status == answered["status"]
        time.sleep(0.5)
        assert caller.job(job_id)["status"] == answered["status"]

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(race, range(20)))
