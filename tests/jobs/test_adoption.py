"""What a crash leaves, and who goes on with it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs import membership, reconciler, states
from imagegateway.jobs.transitions import MAX_ATTEMPTS
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.jobs import records
from tests.jobs.families import Call, ScriptedFamilies
from tests.jobs.replica import Replica, serving
from tests.jobs.server import settings_for, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.platform.settings import Settings
    from imagegateway.provider.v1 import provider_service_pb2 as provider

    from tests.jobs.server import Nats


@pytest.fixture
def one_at_a_time(nats: Nats) -> Settings:
    return settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address(), LOCAL_CONCURRENCY="1")


@pytest.fixture
async def dying(one_at_a_time: Settings, families: ScriptedFamilies) -> AsyncIterator[Replica]:
    """A replica that the test crashes."""
    async with serving(one_at_a_time, families) as up:
        yield up


class Unanswered:
    """A provider that takes a call and never answers it; `begun` counts."""

    def __init__(self) -> None:
        self.begun = asyncio.Semaphore(0)

    async def __call__(self, _request: object) -> provider.TaskState:
        self.begun.release()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


async def test_twelve_calls_under_way_at_a_crash_all_complete(nats: Nats, families: ScriptedFamilies) -> None:
    settings = settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address())
    families.on_start = call = Call()
    async with serving(settings, families) as dying:
        jobs = [(await dying.submit(records.job())).record.id for _ in range(12)]
        await until(lambda: families.starts.total() == 12)
        await dying.crash()
    async with serving(settings, families) as heir:
        for job_id in jobs:
            await heir.reached(job_id, lambda entry: entry.record.owner == heir.engine.membership.owner)
        call.answer(records.done())
        for job_id in jobs:
            ended = (await heir.ended(job_id)).record
            assert (ended.state, ended.attempt, families.starts[job_id]) == (states.COMPLETED, 1, 1)
        await heir.held_nothing()


async def test_answer_that_came_while_nobody_listened_is_kept(
    one_at_a_time: Settings, dying: Replica, families: ScriptedFamilies
) -> None:
    families.on_start = call = Call()
    submitted = await dying.submit(records.job())
    await call.begun.wait()
    await dying.crash()
    call.answer(records.done())
    async with serving(one_at_a_time, families) as heir:
        ended = (await heir.ended(submitted.record.id)).record
        assert (ended.state, families.starts[ended.id]) == (states.COMPLETED, 1)


async def test_call_whose_family_server_died_too_has_an_unknown_outcome(
    one_at_a_time: Settings, dying: Replica, families: ScriptedFamilies
) -> None:
    families.on_start = call = Unanswered()
    submitted = await dying.submit(records.job())
    await call.begun.acquire()
    await dying.crash()
    await families.restart()
    families.on_start = ScriptedFamilies().on_start
    async with serving(one_at_a_time, families) as heir:
        ended = (await heir.ended(submitted.record.id)).record
        assert ended.state == states.FAILED
        assert ended.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN
        assert ended.failed.may_be_billed
        assert families.starts[ended.id] == 1
        assert ended.owner == heir.engine.membership.owner
        # Its slot is free again.
        after = await heir.submit(records.job())
        assert (await heir.ended(after.record.id)).record.state == states.COMPLETED


async def test_call_that_sent_previews_before_a_crash_is_joined(
    one_at_a_time: Settings, dying: Replica, families: ScriptedFamilies
) -> None:
    async def on_the_way(_request: object) -> AsyncIterator[provider.TaskState]:
        yield records.running("", previews=1)

    families.on_start = call = Call()
    families.on_the_way = on_the_way
    submitted = await dying.submit(records.job())
    await dying.reached(submitted.record.id, lambda entry: bool(entry.record.partial_images))
    await dying.crash()
    async with serving(one_at_a_time, families) as heir:
        await heir.reached(submitted.record.id, lambda entry: entry.record.owner == heir.engine.membership.owner)
        call.answer(records.done())
        ended = (await heir.ended(submitted.record.id)).record
        assert (ended.state, families.starts[ended.id]) == (states.COMPLETED, 1)


async def test_cancelled_job_of_a_dead_replica_holds_its_slot_until_its_call_ends(
    one_at_a_time: Settings, dying: Replica, families: ScriptedFamilies
) -> None:
    families.on_start = call = Call()
    submitted = await dying.submit(records.job())
    await call.begun.wait()
    await dying.engine.execution.cancellation.cancel(submitted)
    await dying.crash()
    async with serving(one_at_a_time, families) as heir:
        await heir.reached(submitted.record.id, lambda entry: entry.record.owner == heir.engine.membership.owner)
        waiting = await heir.submit(records.job())
        assert waiting.record.state == states.QUEUED
        call.answer(records.done())
        assert (await heir.ended(waiting.record.id)).record.state == states.COMPLETED
        cancelled = await heir.stream.last(submitted.record.id)
        assert cancelled is not None
        assert cancelled.record.state == states.CANCELLED
        assert cancelled.record.HasField("cost"), "it was paid"
        await heir.held_nothing()


async def test_a_repeatable_call_is_made_again(
    one_at_a_time: Settings, dying: Replica, families: ScriptedFamilies
) -> None:
    families.on_start = call = Unanswered()
    submitted = await dying.submit(records.job(repeatable=True))
    await call.begun.acquire()
    await dying.crash()
    await families.restart()
    families.on_start = ScriptedFamilies().on_start
    async with serving(one_at_a_time, families) as heir:
        ended = (await heir.ended(submitted.record.id)).record
        assert ended.state == states.COMPLETED
        assert families.starts[ended.id] == ended.attempt == 2


async def test_a_repeatable_call_is_not_made_for_ever(one_at_a_time: Settings, families: ScriptedFamilies) -> None:
    families.on_start = call = Unanswered()
    job_id = ""
    for count in range(MAX_ATTEMPTS):
        async with serving(one_at_a_time, families) as up:
            if not count:
                job_id = (await up.submit(records.job(repeatable=True))).record.id
            await call.begun.acquire()
            await up.crash()
            await families.restart()
    async with serving(one_at_a_time, families) as heir:
        ended = (await heir.ended(job_id)).record
        assert ended.state == states.FAILED
        assert ended.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN
        assert families.starts[job_id] == MAX_ATTEMPTS


async def test_a_running_task_is_polled_by_the_heir(
    one_at_a_time: Settings, dying: Replica, families: ScriptedFamilies
) -> None:
    refs: list[str] = []

    async def start(_request: object) -> provider.TaskState:
        return records.running("the task", after=3600)

    async def poll(request: provider.PollRequest) -> provider.TaskState:
        refs.append(request.task_ref)
        return records.done()

    families.on_start, families.on_poll = start, poll
    submitted = await dying.submit(records.job())
    await dying.reached(submitted.record.id, lambda entry: entry.record.state == states.RUNNING)
    await dying.crash()
    async with serving(one_at_a_time, families) as heir:
        ended = (await heir.ended(submitted.record.id)).record
        assert ended.state == states.COMPLETED
        assert refs == ["the task"]
        assert families.starts[ended.id] == 1


async def test_many_running_tasks_are_not_polled_all_at_once(
    nats: Nats, families: ScriptedFamilies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "BATCH", 3)
    monkeypatch.setattr(reconciler, "BATCH_SECONDS", 3600.0)
    settings = settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address())

    async def start(_request: object) -> provider.TaskState:
        return records.running(after=3600)

    families.on_start = start
    async with serving(settings, families) as dying:
        jobs = [(await dying.submit(records.job())).record.id for _ in range(10)]
        for job_id in jobs:
            await dying.reached(job_id, lambda entry: entry.record.state == states.RUNNING)
        await dying.crash()
    async with serving(settings, families) as heir:
        for job_id in jobs:
            await heir.reached(
                job_id, lambda entry: entry.record.owner == heir.engine.membership.owner or entry.ended
            )
        async with asyncio.timeout(10):
            while families.polls.total() < 3:  # noqa: ASYNC110  no event tells
                await asyncio.sleep(0.01)
        await heir.engine.feed.catch_up()
        assert families.polls.total() == 3
        due = [round((at - time.time()) / 3600) for at in heir.engine.execution.polls.due]
        assert due == [1, 1, 1, 2, 2, 2, 3], "all of them, in their turn"


async def test_what_waited_is_run_by_the_heir(
    one_at_a_time: Settings, dying: Replica, families: ScriptedFamilies
) -> None:
    families.on_start = call = Unanswered()
    first = await dying.submit(records.job())
    waiting = [await dying.submit(records.job()) for _ in range(3)]
    await call.begun.acquire()
    await dying.crash()
    await families.restart()
    families.on_start = ScriptedFamilies().on_start
    async with serving(one_at_a_time, families) as heir:
        assert (await heir.ended(first.record.id)).record.state == states.FAILED
        for entry in waiting:
            assert (await heir.ended(entry.record.id)).record.state == states.COMPLETED
            assert families.starts[entry.record.id] == 1


async def test_an_orderly_stop_hands_over_at_once(
    one_at_a_time: Settings, dying: Replica, families: ScriptedFamilies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another replica takes over without waiting for a lease to run out."""
    monkeypatch.setattr(membership, "HEARTBEAT_SECONDS", 0.05)

    async def start(_request: object) -> provider.TaskState:
        return records.running(after=3600)

    families.on_start = start
    running = await dying.submit(records.job())
    await dying.reached(running.record.id, lambda entry: entry.record.state == states.RUNNING)
    waiting = await dying.submit(records.job())
    async with serving(one_at_a_time, families, 1) as heir:
        # Nobody takes from the living.
        heir.engine.execution.reconciler.reconcile()
        await heir.engine.feed.catch_up()
        assert {entry.record.owner for entry in heir.engine.feed.live.values()} == {dying.engine.membership.owner}
        families.on_start = ScriptedFamilies().on_start
        await dying.stop()
        for entry in (running, waiting):
            ended = (await heir.ended(entry.record.id)).record
            assert ended.state == states.COMPLETED
            assert ended.owner == heir.engine.membership.owner
            assert families.starts[ended.id] == 1


async def test_a_silent_replica_is_gone_after_its_lease(
    one_at_a_time: Settings, families: ScriptedFamilies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(membership, "LEASE_SECONDS", 2.0)

    async def start(_request: object) -> provider.TaskState:
        return records.running(after=3600)

    families.on_start = start
    async with serving(one_at_a_time, families) as dying, serving(one_at_a_time, families, 1) as heir:
        running = await dying.submit(records.job())
        await dying.reached(running.record.id, lambda entry: entry.record.state == states.RUNNING)
        await dying.crash()
        ended = (await heir.ended(running.record.id)).record
        assert ended.state == states.COMPLETED
        assert families.starts[ended.id] == 1


async def test_cancelled_from_another_replica(
    one_at_a_time: Settings, dying: Replica, families: ScriptedFamilies
) -> None:
    async def start(_request: object) -> provider.TaskState:
        return records.running(after=3600)

    families.on_start = start
    running = await dying.submit(records.job())
    await dying.reached(running.record.id, lambda entry: entry.record.state == states.RUNNING)
    waiting = await dying.submit(records.job())
    async with serving(one_at_a_time, families, 1) as other:
        for entry in (waiting, running):
            await other.engine.execution.cancellation.cancel(
                await other.reached(entry.record.id, lambda _entry: True)
            )
        for entry in (waiting, running):
            assert (await dying.ended(entry.record.id)).record.state == states.CANCELLED
        # The first replica stops the call, and its slot is free again.
        await dying.held_nothing()
        families.on_start = ScriptedFamilies().on_start
        after = await dying.submit(records.job())
        assert after.record.state == states.SUBMITTING
        await dying.ended(after.record.id)
        assert families.cancels == [(running.record.id, "task-1")]
        assert families.starts[waiting.record.id] == 0
