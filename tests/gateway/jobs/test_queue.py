"""Queued jobs: alternation between tenants, positions, and the limit of the queue."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.gateway.jobs import sse, wire
from tests.gateway.jobs.calls import ASYNC, Caller
from tests.gateway.jobs.stacks import new_caller
from tests.gateway.jobs.test_stream import over_grpc
from tests.gateway.rest import assert_error
from tests.support.stack import eventually, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack


LIMIT = 12


@pytest.fixture(scope="module")
def narrow() -> Iterator[Stack]:
    """Yield a stack with one slot."""
    with running(local_concurrency="1", queue_limit=str(LIMIT)) as stack:
        yield stack


@pytest.fixture
def many(narrow: Stack) -> Iterator[Caller]:
    """Yield a tenant and end all its jobs afterwards."""
    yield from _cleaned(narrow, "many")


@pytest.fixture
def few(narrow: Stack) -> Iterator[Caller]:
    yield from _cleaned(narrow, "few")


def _cleaned(stack: Stack, tenant: str) -> Iterator[Caller]:
    caller = new_caller(stack, f"{tenant}-{time.time_ns()}")
    yield caller
    for status in ("queued", "running"):
        for job in caller.jobs(status=status):
            caller.cancel(job["id"])


def test_waiting_tenants_get_slots_alternately(many: Caller, few: Caller) -> None:
    first, second, third, fourth = ((many, many.submit(60)) for _ in range(4))
    order = (first, second, (few, few.submit(60)), third, fourth)
    for number, (caller, job_id) in enumerate(order, 1):
        caller.until(job_id, "running")
        waiting = [owner.job(later)["status"] for owner, later in order[number:]]
        assert waiting == ["queued"] * len(waiting)
        caller.cancel(job_id)


def test_queued_job_reports_its_position(many: Caller, few: Caller) -> None:
    made = [many.submit(30) for _ in range(4)]
    answer = few.generate(ASYNC)
    assert answer.status == 202
    last = answer.json()
    assert last["status"] == "queued"
    assert last["queue_position"] == 1  # one job of the other tenant has precedence
    many.until(made[0], "running")
    jobs = [many.job(job_id) for job_id in made]
    assert [job["status"] for job in jobs] == ["running", "queued", "queued", "queued"]
    assert "queue_position" not in jobs[0]
    places = [job["queue_position"] for job in jobs[1:]]
    assert places == sorted(places)
    assert places[0] == 0
    (event,) = sse.read_first(many, made[1], 1)
    assert event.data["queue_position"] == 0
    for job_id in made:
        many.cancel(job_id)
    ended = few.end(last["id"])
    assert ended["status"] == "completed"
    assert "queue_position" not in ended


def test_cancelled_job_leaves_the_queue_and_never_runs(many: Caller) -> None:
    first, second, third = many.submit(60), many.submit(0.1), many.submit(0.1)
    cancelled = many.cancel(second)
    assert cancelled["status"] == "cancelled"
    assert "started_at" not in cancelled
    many.cancel(first)
    assert many.end(third)["status"] == "completed"
    assert many.job(second) == cancelled


def test_queued_job_is_streamed_from_its_place_to_its_end(many: Caller) -> None:
    first, second = many.submit(60), many.submit(0.3)
    over_rest = sse.Follower(many, second)
    with wire.public(many) as stub:
        messages = iter(over_grpc(stub, many, second))
        assert next(messages).type == "job.queued"
        eventually(lambda: bool(over_rest.events), 30, "both subscribers have begun")
        many.cancel(first)
        types = [message.type for message in messages]
    assert [event.name for event in over_rest.result(30)][:2] == ["job.queued", "job.running"]
    assert types[-1] == "job.completed"
    assert "job.running" in types or "job.progress" in types


def test_inline_calls_wait_for_slots_and_all_get_their_images(many: Caller, few: Caller) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(lambda index: (many, few)[index % 2].generate(provider_options={"delay": 0.2}), range(10))
        )
    assert [answer.status for answer in answers] == [200] * 10


def test_full_queue_refuses_the_tenant_that_fills_it_and_stores_no_job(many: Caller, few: Caller) -> None:
    made = [many.submit(60) for _ in range(1 + LIMIT)]
    for headers in ({}, ASYNC, {"idempotency-key": f"full-{time.time_ns()}"}):
        answer = many.generate(headers)
        assert_error(answer, 503, "overloaded", kind="server_error")
        assert f"{LIMIT} of your jobs" in answer.json()["error"]["message"]
        assert int(answer.headers["retry-after"]) >= 1
        assert "x-should-retry" not in answer.headers
    with wire.public(many) as stub, pytest.raises(grpc.RpcError) as caught:
        wire.submit(stub, many)
    assert wire.code(caught.value) is grpc.StatusCode.UNAVAILABLE
    assert wire.failure(caught.value).code == "overloaded"
    assert wire.failure(caught.value).waits
    assert len(many.jobs()) == len(made)
    # Another tenant finds room, and has the next turn but one.
    other = few.generate(ASYNC).json()
    assert (other["status"], other["queue_position"]) == ("queued", 1)
    for job_id in made:
        many.cancel(job_id)
    assert few.end(other["id"])["status"] == "completed"
    repeated = many.generate(headers)  # with the key of a refused call
    assert repeated.status == 200, repeated.body
    assert len(many.jobs()) == len(made) + 1
