"""Stop or crash of the whole stack with running and queued jobs: the next start continues them."""

from __future__ import annotations

import http.client
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]  # ships no types

from tests.gateway.jobs import sse
from tests.gateway.jobs.calls import ASYNC, Caller, marked, with_mark
from tests.support.stack import assert_gone, eventually

if TYPE_CHECKING:
    from tests.gateway.jobs.receiver import Receiver
    from tests.gateway.jobs.stacks import RestartableStack
    from tests.gateway.rest import Answer


def completed(caller: Caller, job_id: str) -> dict[str, Any]:
    job = caller.end(job_id)
    assert job["status"] == "completed", job
    assert caller.fetch(job["result_url"])
    return job


def test_calls_and_streams_end_well_and_their_jobs_go_on(restartable: RestartableStack, mark: str) -> None:
    """Most calls get their images before the router stops. The slow call gets a job that the next start finishes.

    The stream of a job ends with an event that says to come back.
    """
    caller = restartable.caller
    delays = [16.0, *(0.5 + index * 0.3 for index in range(7))]

    def call(delay: float) -> Answer:
        return caller.generate(metadata=marked(mark), provider_options={"delay": delay})

    with ThreadPoolExecutor(len(delays) + 1) as pool:
        calls = [pool.submit(call, delay) for delay in delays]
        eventually(lambda: len(with_mark(caller.jobs(), mark)) == len(delays), 30, "all calls have their jobs")
        followed = caller.submit(provider_options={"delay": 60, "steps": 1})
        with sse.open_stream(caller, followed, seconds=60) as stream:
            events = iter(stream)
            first = next(events)
            stopping = pool.submit(restartable.stop)
            rest: list[sse.Event] = []
            with suppress(http.client.HTTPException):
                rest += events
            stopping.result(60)
        answers = [waiting.result(60) for waiting in calls]
    # 503 would be correct too, but the jobs exist: a 202 has their location.
    assert {answer.status for answer in answers} <= {200, 202}, [(a.status, a.body) for a in answers]
    assert answers[0].status == 202
    for answer in answers:
        if answer.status == 202:
            assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    assert [event.name for event in rest if event.name.startswith("job.") and event.terminal] == []
    assert rest[-1].name == "error"
    assert rest[-1].data["error"]["code"] == "service_unavailable"
    restartable.start()
    caller = restartable.caller
    with sse.open_stream(caller, followed, first.id) as stream:
        caller.cancel(followed)
        resumed = [event for event in stream if event is not sse.COMMENT]
    sse.check([first, *[event for event in rest if event.id > first.id], *resumed], followed)
    assert resumed[-1].name == "job.cancelled"
    ids = {answer.json()["id"] for answer in answers}
    assert ids == {job["id"] for job in with_mark(caller.jobs(), mark)}
    for job_id in ids:
        completed(caller, job_id)


def test_jobs_keys_subscribers_and_webhooks_survive_a_restart(
    restartable: RestartableStack, receiver: Receiver, mark: str
) -> None:
    caller = restartable.caller
    url = receiver.hook(f"/{mark}")
    key = {"idempotency-key": uuid.uuid4().hex}
    done = caller.generate(key)
    assert done.status == 200
    running_key = {"idempotency-key": uuid.uuid4().hex}
    job_ids = [caller.submit(2, webhook_url=url) for _ in range(9)]
    job_ids.append(caller.submit(2, running_key))
    secret = caller.ask("GET", "/v1/webhook-secret").json()
    statuses = {caller.job(job_id)["status"] for job_id in job_ids}
    assert statuses >= {"queued", "running"}
    followers = [sse.Follower(caller, job_id) for job_id in job_ids]
    eventually(lambda: all(follower.events for follower in followers), 30, "all subscribers have begun")
    restartable.stop()
    restartable.start()
    caller = restartable.caller
    assert caller.ask("GET", "/v1/webhook-secret").json() == secret
    for job_id in job_ids:
        completed(caller, job_id)
    for follower in followers:
        assert follower.result(60)[-1].name == "job.completed"
    assert any(follower.breaks for follower in followers)
    again = caller.generate(key)
    assert (again.status, again.json()["id"]) == (200, done.json()["id"])
    assert caller.generate(key, prompt="another").status == 422
    again = caller.generate({**running_key, **ASYNC}, provider_options={"delay": 2})
    assert again.json()["id"] == job_ids[-1]
    deliveries = receiver.wait(f"/{mark}", 9)
    assert {delivery.event["data"]["id"] for delivery in deliveries} == set(job_ids[:-1])


def test_everything_killed_at_once_loses_no_job(restartable: RestartableStack, receiver: Receiver, mark: str) -> None:
    caller = restartable.caller
    url = receiver.hook(f"/{mark}", 500, 500, 500, 200)
    before = caller.generate(metadata=marked(mark)).json()
    key = {"idempotency-key": uuid.uuid4().hex}
    job_ids = [caller.submit(1, metadata=marked(mark)) for _ in range(7)]
    job_ids.append(caller.submit(0, key, metadata=marked(mark), webhook_url=url))
    time.sleep(0.3)
    stack = restartable.stack
    processes = [psutil.Process(stack.process.pid), *stack.descendants()]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    stack.process.wait(30)
    assert_gone(processes, 30)
    restartable.start()
    caller = restartable.caller
    assert {job["id"] for job in with_mark(caller.jobs(), mark)} == {before["id"], *job_ids}
    assert caller.fetch(caller.job(before["id"])["result_url"])
    for job_id in job_ids:
        completed(caller, job_id)
    assert caller.generate(key, metadata=marked(mark), webhook_url=url).json()["id"] == job_ids[-1]
    deliveries = receiver.wait(f"/{mark}", 4)
    assert len({delivery.id for delivery in deliveries}) == 1


def test_stack_ends_with_its_process_manager(restartable: RestartableStack) -> None:
    """The last test of this stack."""
    stack = restartable.stack
    (manager,) = psutil.Process(stack.process.pid).children()
    descendants = stack.descendants()
    manager.kill()
    stack.process.wait(30)
    assert_gone(descendants, 20)
    assert stack.process.returncode == 1
    assert "the process manager ended" in stack.text()
