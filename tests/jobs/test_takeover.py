"""Takeover of a crashed replica's jobs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs import membership, reconciler, states
from imagegateway.jobs.transitions import MAX_ATTEMPTS
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.jobs import records
from tests.jobs.replica import Replica, serving
from tests.jobs.scripted_providers import PendingCall, ScriptedProviders
from tests.jobs.server import PATIENCE, settings_for, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.platform.settings import Settings
    from imagegateway.provider.v1 import provider_service_pb2 as provider

    from tests.jobs.server import Nats


@pytest.fixture
def one_at_a_time(nats: Nats) -> Settings:
    return settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address(), LOCAL_CONCURRENCY="1")


@pytest.fixture
async def dying(one_at_a_time: Settings, providers: ScriptedProviders) -> AsyncIterator[Replica]:
    """Yield a replica that the test crashes."""
    async with serving(one_at_a_time, providers) as up:
        yield up


class UnansweredCall:
    """A provider that accepts calls and never responds; `begun` counts them."""

    def __init__(self) -> None:
        self.begun = asyncio.Semaphore(0)

    async def __call__(self, _request: object) -> provider.TaskState:
        self.begun.release()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


async def test_twelve_open_calls_complete_after_a_crash(nats: Nats, providers: ScriptedProviders) -> None:
    settings = settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address())
    providers.on_start = call = PendingCall()
    async with serving(settings, providers) as dying:
        jobs = [(await dying.submit(records.job())).record.id for _ in range(12)]
        await until(lambda: providers.starts.total() == 12)
        await dying.crash()
    async with serving(settings, providers) as successor:
        for job_id in jobs:
            await successor.reached(job_id, lambda entry: entry.record.owner == successor.engine.membership.owner)
        call.answer(records.done())
        for job_id in jobs:
            ended = (await successor.ended(job_id)).record
            assert (ended.state, ended.attempt, providers.starts[job_id]) == (states.COMPLETED, 1, 1)
        await successor.held_nothing()


async def test_result_that_arrives_without_a_router_is_kept(
    one_at_a_time: Settings, dying: Replica, providers: ScriptedProviders
) -> None:
    providers.on_start = call = PendingCall()
    submitted = await dying.submit(records.job())
    await call.begun.wait()
    await dying.crash()
    call.answer(records.done())
    async with serving(one_at_a_time, providers) as successor:
        ended = (await successor.ended(submitted.record.id)).record
        assert (ended.state, providers.starts[ended.id]) == (states.COMPLETED, 1)


async def test_call_whose_provider_server_stopped_has_an_unknown_outcome(
    one_at_a_time: Settings, dying: Replica, providers: ScriptedProviders
) -> None:
    providers.on_start = call = UnansweredCall()
    submitted = await dying.submit(records.job())
    await call.begun.acquire()
    await dying.crash()
    await providers.restart()
    providers.on_start = ScriptedProviders().on_start
    async with serving(one_at_a_time, providers) as successor:
        ended = (await successor.ended(submitted.record.id)).record
        assert ended.state == states.FAILED
        assert ended.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN
        assert ended.failed.may_be_billed
        assert providers.starts[ended.id] == 1
        assert ended.owner == successor.engine.membership.owner
        # Its slot is free again.
        after = await successor.submit(records.job())
        assert (await successor.ended(after.record.id)).record.state == states.COMPLETED


async def test_call_that_sent_partial_images_before_a_crash_is_joined(
    one_at_a_time: Settings, dying: Replica, providers: ScriptedProviders
) -> None:
    async def on_the_way(_request: object) -> AsyncIterator[provider.TaskState]:
        yield records.running("", partial_images=1)

    providers.on_start = call = PendingCall()
    providers.partial_images = on_the_way
    submitted = await dying.submit(records.job())
    await dying.reached(submitted.record.id, lambda entry: bool(entry.record.partial_images))
    await dying.crash()
    async with serving(one_at_a_time, providers) as successor:
        await successor.reached(
            submitted.record.id, lambda entry: entry.record.owner == successor.engine.membership.owner
        )
        call.answer(records.done())
        ended = (await successor.ended(submitted.record.id)).record
        assert (ended.state, providers.starts[ended.id]) == (states.COMPLETED, 1)


async def test_cancelled_job_of_a_dead_replica_holds_its_slot_until_its_call_ends(
    one_at_a_time: Settings, dying: Replica, providers: ScriptedProviders
) -> None:
    providers.on_start = call = PendingCall()
    submitted = await dying.submit(records.job())
    await call.begun.wait()
    await dying.engine.execution.cancellation.cancel(submitted)
    await dying.crash()
    async with serving(one_at_a_time, providers) as successor:
        await successor.reached(
            submitted.record.id, lambda entry: entry.record.owner == successor.engine.membership.owner
        )
        waiting = await successor.submit(records.job())
        assert waiting.record.state == states.QUEUED
        call.answer(records.done())
        assert (await successor.ended(waiting.record.id)).record.state == states.COMPLETED
        cancelled = await successor.stream.last(submitted.record.id)
        assert cancelled is not None
        assert cancelled.record.state == states.CANCELLED
        assert cancelled.record.HasField("cost"), "it was paid"
        await successor.held_nothing()


async def test_repeatable_call_is_repeated(
    one_at_a_time: Settings, dying: Replica, providers: ScriptedProviders
) -> None:
    providers.on_start = call = UnansweredCall()
    submitted = await dying.submit(records.job(repeatable=True))
    await call.begun.acquire()
    await dying.crash()
    await providers.restart()
    providers.on_start = ScriptedProviders().on_start
    async with serving(one_at_a_time, providers) as successor:
        ended = (await successor.ended(submitted.record.id)).record
        assert ended.state == states.COMPLETED
        assert providers.starts[ended.id] == ended.attempt == 2


async def test_repeatable_call_is_repeated_a_limited_number_of_times(
    one_at_a_time: Settings, providers: ScriptedProviders
) -> None:
    providers.on_start = call = UnansweredCall()
    job_id = ""
    for count in range(MAX_ATTEMPTS):
        async with serving(one_at_a_time, providers) as up:
            if not count:
                job_id = (await up.submit(records.job(repeatable=True))).record.id
            await call.begun.acquire()
            await up.crash()
            await providers.restart()
    async with serving(one_at_a_time, providers) as successor:
        ended = (await successor.ended(job_id)).record
        assert ended.state == states.FAILED
        assert ended.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN
        assert providers.starts[job_id] == MAX_ATTEMPTS


async def test_running_task_is_polled_by_the_successor(
    one_at_a_time: Settings, dying: Replica, providers: ScriptedProviders
) -> None:
    refs: list[str] = []

    async def start(_request: object) -> provider.TaskState:
        return records.running("the task", after=3600)

    async def poll(request: provider.PollRequest) -> provider.TaskState:
        refs.append(request.task_ref)
        return records.done()

    providers.on_start, providers.on_poll = start, poll
    submitted = await dying.submit(records.job())
    await dying.reached(submitted.record.id, lambda entry: entry.record.state == states.RUNNING)
    await dying.crash()
    async with serving(one_at_a_time, providers) as successor:
        ended = (await successor.ended(submitted.record.id)).record
        assert ended.state == states.COMPLETED
        assert refs == ["the task"]
        assert providers.starts[ended.id] == 1


async def test_running_tasks_are_polled_in_batches_after_a_takeover(
    nats: Nats, providers: ScriptedProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "BATCH", 3)
    monkeypatch.setattr(reconciler, "BATCH_SECONDS", 3600.0)
    settings = settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address())

    async def start(_request: object) -> provider.TaskState:
        return records.running(after=3600)

    providers.on_start = start
    async with serving(settings, providers) as dying:
        jobs = [(await dying.submit(records.job())).record.id for _ in range(10)]
        for job_id in jobs:
            await dying.reached(job_id, lambda entry: entry.record.state == states.RUNNING)
        await dying.crash()
    async with serving(settings, providers) as successor:
        for job_id in jobs:
            await successor.reached(
                job_id, lambda entry: entry.record.owner == successor.engine.membership.owner or entry.ended
            )
        async with asyncio.timeout(PATIENCE):
            while providers.polls.total() < 3:  # noqa: ASYNC110  no event announces the polls
                await asyncio.sleep(0.01)
        await successor.engine.feed.catch_up()
        assert providers.polls.total() == 3
        due = [round((at - time.time()) / 3600) for at in successor.engine.execution.polls.due]
        assert due == [1, 1, 1, 2, 2, 2, 3], "all of them, in their turn"


async def test_queued_jobs_are_run_by_the_successor(
    one_at_a_time: Settings, dying: Replica, providers: ScriptedProviders
) -> None:
    providers.on_start = call = UnansweredCall()
    first = await dying.submit(records.job())
    waiting = [await dying.submit(records.job()) for _ in range(3)]
    await call.begun.acquire()
    await dying.crash()
    await providers.restart()
    providers.on_start = ScriptedProviders().on_start
    async with serving(one_at_a_time, providers) as successor:
        assert (await successor.ended(first.record.id)).record.state == states.FAILED
        for entry in waiting:
            assert (await successor.ended(entry.record.id)).record.state == states.COMPLETED
            assert providers.starts[entry.record.id] == 1


async def test_stopped_replica_transfers_its_jobs_at_once(
    one_at_a_time: Settings, dying: Replica, providers: ScriptedProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another replica takes over without waiting for a lease to expire."""
    monkeypatch.setattr(membership, "HEARTBEAT_SECONDS", 0.05)

    async def start(_request: object) -> provider.TaskState:
        return records.running(after=3600)

    providers.on_start = start
    running = await dying.submit(records.job())
    await dying.reached(running.record.id, lambda entry: entry.record.state == states.RUNNING)
    waiting = await dying.submit(records.job())
    async with serving(one_at_a_time, providers, 1) as successor:
        # No replica takes over jobs of a live one.
        await successor.engine.execution.reconciler.reconcile()
        await successor.engine.feed.catch_up()
        assert {entry.record.owner for entry in successor.engine.feed.live.values()} == {
            dying.engine.membership.owner
        }
        providers.on_start = ScriptedProviders().on_start
        await dying.stop()
        for entry in (running, waiting):
            ended = (await successor.ended(entry.record.id)).record
            assert ended.state == states.COMPLETED
            assert ended.owner == successor.engine.membership.owner
            assert providers.starts[ended.id] == 1


async def test_silent_replica_expires_after_its_lease(
    one_at_a_time: Settings, providers: ScriptedProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(membership, "LEASE_SECONDS", 2.0)

    async def start(_request: object) -> provider.TaskState:
        return records.running(after=3600)

    providers.on_start = start
    async with serving(one_at_a_time, providers) as dying, serving(one_at_a_time, providers, 1) as successor:
        running = await dying.submit(records.job())
        await dying.reached(running.record.id, lambda entry: entry.record.state == states.RUNNING)
        await dying.crash()
        ended = (await successor.ended(running.record.id)).record
        assert ended.state == states.COMPLETED
        assert providers.starts[ended.id] == 1


async def test_job_is_cancelled_from_another_replica(
    one_at_a_time: Settings, dying: Replica, providers: ScriptedProviders
) -> None:
    async def start(_request: object) -> provider.TaskState:
        return records.running(after=3600)

    providers.on_start = start
    running = await dying.submit(records.job())
    await dying.reached(running.record.id, lambda entry: entry.record.state == states.RUNNING)
    waiting = await dying.submit(records.job())
    async with serving(one_at_a_time, providers, 1) as other:
        for entry in (waiting, running):
            await other.engine.execution.cancellation.cancel(
                await other.reached(entry.record.id, lambda _entry: True)
            )
        for entry in (waiting, running):
            assert (await dying.ended(entry.record.id)).record.state == states.CANCELLED
        # The first replica stops the call, and its slot is free again.
        await dying.held_nothing()
        providers.on_start = ScriptedProviders().on_start
        after = await dying.submit(records.job())
        assert after.record.state == states.SUBMITTING
        await dying.ended(after.record.id)
        assert providers.cancels == [(running.record.id, "task-1")]
        assert providers.starts[waiting.record.id] == 0
