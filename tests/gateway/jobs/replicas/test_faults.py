"""Kills of the stack's processes while jobs run: no job is lost or ends twice, and every end is announced."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import uuid
from typing import TYPE_CHECKING, Final

import grpc
import psutil  # type: ignore[import-untyped]  # ships no types
import pytest
from imagegateway.v1 import image_service_pb2 as pb

from tests.gateway import rest
from tests.gateway.jobs import sse, wire
from tests.gateway.jobs.calls import ASYNC, Caller, marked, with_mark
from tests.gateway.jobs.load import Load
from tests.gateway.jobs.stacks import BACK_SECONDS, kill, manage, ready, wait_back
from tests.gateway.rest import assert_error
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.jobs.receiver import Receiver
    from tests.support.stack import Stack

VICTIMS: Final = ("router-0", "providers", "nats", "envoy")
SEED: Final = 20261125
RANDOM_SECONDS: Final = 10.0
AT_ONCE_SECONDS: Final = 15.0
"""Seconds: far more than a refusal during a known outage of NATS, far less than a wait for NATS."""


@pytest.fixture
def victim(pair: Stack) -> Iterator[Caller]:
    """Yield the tenant of a stack, after checking that all processes run before and afterwards."""
    eventually(lambda: ready(pair), BACK_SECONDS, "the stack is whole")
    yield Caller(pair, pair.key)
    eventually(lambda: ready(pair), BACK_SECONDS, "the stack is whole again")


@pytest.mark.parametrize("name", VICTIMS)
def test_kill_of_one_process_loses_no_running_job(victim: Caller, receiver: Receiver, name: str) -> None:
    load = Load(victim, receiver, 20).start()
    load.some_run()
    wait_back(victim.stack, name, kill(victim.stack, name))
    load.verify()


def test_processes_are_killed_at_random_while_jobs_run(victim: Caller, receiver: Receiver) -> None:
    chance = random.Random(SEED)  # noqa: S311  repeatable, not secret
    load = Load(victim, receiver, 30, spread=RANDOM_SECONDS).start()
    deadline = time.monotonic() + RANDOM_SECONDS
    while time.monotonic() < deadline:
        kill(victim.stack, chance.choice((*VICTIMS, "router-1", "media")))
        time.sleep(chance.uniform(0.2, 1.2))
    eventually(lambda: ready(victim.stack), BACK_SECONDS, "the stack is whole again")
    load.verify()


def test_webhook_in_progress_survives_the_kill_of_its_router(victim: Caller, receiver: Receiver, mark: str) -> None:
    gate = threading.Event()
    with wire.router(victim, 0) as stub:
        job_id = wire.submit(stub, victim, webhook_url=receiver.hook(f"/{mark}", gate=gate))
    (first,) = receiver.wait(f"/{mark}")  # the job has ended, and its delivery is not answered
    kill(victim.stack, "router-0")
    gate.set()
    deliveries = receiver.wait(f"/{mark}", 2)
    assert {delivery.id for delivery in deliveries} == {first.id}
    assert {delivery.event["data"]["id"] for delivery in deliveries} == {job_id}

    def recorded() -> bool:
        attempts = victim.job(job_id).get("webhook_attempts", [])
        return bool(attempts) and attempts[-1].get("status_code") == 200

    eventually(recorded, 30, "the delivery is on the record")


def test_queued_webhook_survives_the_kill_of_its_router(victim: Caller, receiver: Receiver, mark: str) -> None:
    with wire.router(victim, 1) as stub:
        wire.submit(stub, victim, webhook_url=receiver.hook(f"/{mark}", 500, 500, 500, 200))
    receiver.wait(f"/{mark}", 2)
    kill(victim.stack, "router-1")
    deliveries = receiver.wait(f"/{mark}", 4)
    assert len({delivery.id for delivery in deliveries}) == 1


def away(caller: Caller, job_id: str, seconds: float) -> None:
    """Assert that every kind of call is refused at once, with the reason."""
    for answer in (
        caller.generate(),
        caller.generate(ASYNC),
        caller.ask("GET", f"/v1/jobs/{job_id}"),
        caller.ask("GET", "/v1/jobs"),
        caller.ask("GET", f"/v1/jobs/{job_id}/events"),
        caller.ask("DELETE", f"/v1/jobs/{job_id}"),
        caller.ask("GET", "/v1/webhook-secret"),
    ):
        assert_error(answer, 503, "service_unavailable", kind="server_error")
        assert int(answer.headers["retry-after"]) >= 1
        assert "x-should-retry" not in answer.headers
    began = time.monotonic()
    assert caller.generate().status == 503
    assert time.monotonic() - began < seconds
    with wire.public(caller) as stub, pytest.raises(grpc.RpcError) as caught:
        stub.GetJob(pb.GetJobRequest(job_id=job_id), metadata=wire.metadata(caller), timeout=wire.SECONDS)
    assert wire.code(caught.value) is grpc.StatusCode.UNAVAILABLE
    assert wire.failure(caught.value).waits


def routers(stack: Stack) -> list[int]:
    found = [stack.child(f"router-{index}") for index in (0, 1)]
    return [process.pid for process in found if process]


def test_unavailable_engine_is_503_and_recovers_without_a_restart(
    victim: Caller, receiver: Receiver, mark: str
) -> None:
    stack = victim.stack
    before = routers(stack)
    job_id = victim.submit(provider_options={"delay": 3, "steps": 6}, webhook_url=receiver.hook(f"/{mark}"))
    follower = sse.Follower(victim, job_id)
    victim.until(job_id, "running")
    manage(stack, "stop", "nats")
    eventually(lambda: not ready(stack), AT_ONCE_SECONDS, "the stack says that it can't serve")
    away(victim, job_id, AT_ONCE_SECONDS)
    assert rest.ask(stack, "GET", "/healthz", key="").status == 200
    manage(stack, "start", "nats")
    eventually(lambda: ready(stack), BACK_SECONDS, "the stack serves again")
    assert victim.generate().status == 200
    assert victim.end(job_id)["status"] == "completed"
    assert follower.result(60)[-1].name == "job.completed"
    assert receiver.wait(f"/{mark}")[0].event["data"]["id"] == job_id
    assert routers(stack) == before


def test_repeated_kills_of_the_engine_lose_no_job(victim: Caller, receiver: Receiver) -> None:
    load = Load(victim, receiver, 12, spread=4).start()
    for _ in range(3):
        kill(victim.stack, "nats")
        time.sleep(0.3)
    eventually(lambda: ready(victim.stack), BACK_SECONDS, "the stack serves again")
    load.verify()


def test_call_during_an_engine_hang_is_503_and_never_runs(victim: Caller, mark: str) -> None:
    stack = victim.stack
    before = routers(stack)
    job_id = victim.submit(2)
    key = {"idempotency-key": uuid.uuid4().hex}
    engine = stack.running_child("nats")
    os.kill(engine.pid, signal.SIGSTOP)
    try:
        eventually(lambda: engine.status() == psutil.STATUS_STOPPED, 30, "the engine stands still")
        began = time.monotonic()
        for headers in ({}, ASYNC, key):
            answer = victim.generate(headers, metadata=marked(mark))
            assert_error(answer, 503, "service_unavailable", kind="server_error")
        assert time.monotonic() - began < 60
        eventually(lambda: not ready(stack), 60, "the stack says that it can't serve")
        began = time.monotonic()
        assert victim.generate(metadata=marked(mark)).status == 503
        assert time.monotonic() - began < AT_ONCE_SECONDS
    finally:
        os.kill(engine.pid, signal.SIGCONT)
    eventually(lambda: ready(stack), BACK_SECONDS, "the stack serves again")
    assert victim.end(job_id)["status"] == "completed"
    repeated = victim.generate(key, metadata=marked(mark))
    assert repeated.status == 200, repeated.body
    for ghost in with_mark(victim.jobs(), mark):
        ended = victim.end(ghost["id"])
        assert ended["status"] == ("completed" if ended["id"] == repeated.json()["id"] else "cancelled")
    assert routers(stack) == before
