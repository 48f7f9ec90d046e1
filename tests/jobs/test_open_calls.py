"""Ended jobs with an open provider call: they hold their slots, and the call's cost is recorded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs import polling, states

from tests.jobs import records
from tests.jobs.scripted_providers import PendingCall
from tests.jobs.server import PATIENCE

if TYPE_CHECKING:
    from imagegateway.provider.v1 import provider_service_pb2 as provider

    from tests.jobs.replica import Replica
    from tests.jobs.scripted_providers import ScriptedProviders


@pytest.mark.parametrize("late", ["running", "done", "failed"])
async def test_cancelled_call_holds_its_slot_and_inputs_until_it_ends(
    replica: Replica, providers: ScriptedProviders, late: str
) -> None:
    providers.on_start = call = PendingCall()
    async with replica.store.upload(100) as upload:
        await upload.write(b"an input")
        key = (await upload.finish()).key
    record = records.job()
    record.upload_keys.append(key)
    record.sealed_credential = replica.engine.credentials.seal("the caller's own key")
    submitted = await replica.submit(record)
    await call.begun.wait()
    cancelled = await replica.engine.execution.cancellation.cancel(submitted)
    assert cancelled.record.state == states.CANCELLED
    assert cancelled.record.call_open
    waiting = await replica.submit(records.job())
    assert waiting.record.state == states.QUEUED
    await replica.engine.feed.catch_up()
    assert replica.engine.feed.live[submitted.record.id].record.sealed_credential, "a task may need it to be stopped"
    assert await replica.store.size(key) is not None
    assert providers.starts.total() == 1
    call.answer({"running": records.running, "done": records.done, "failed": records.refused}[late]())
    await replica.ended(waiting.record.id)
    await replica.held_nothing()
    last = await replica.stream.last(submitted.record.id)
    assert last is not None
    assert last.record.state == states.CANCELLED
    assert not last.record.call_open
    assert last.record.HasField("cost") is (late == "done")
    assert last.record.completed_at == cancelled.record.completed_at
    assert (last.record.sealed_credential, last.record.key_fingerprint) == (b"", "")
    assert last.event_seq == cancelled.seq, "subscribers see one end"
    await replica.engine.drain(PATIENCE)
    assert await replica.store.size(key) is None


async def test_submit_and_cancel_in_a_loop_keep_one_call_in_flight(
    replica: Replica, providers: ScriptedProviders
) -> None:
    in_flight, most = 0, 0

    async def start(_request: object) -> provider.TaskState:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0.02)
        in_flight -= 1
        return records.done()

    providers.on_start = start
    jobs = []
    for _ in range(20):
        jobs.append(await replica.submit(records.job()))
        await replica.engine.execution.cancellation.cancel(jobs[-1])
    await replica.held_nothing()
    assert most == 1
    for entry in jobs:
        last = await replica.stream.last(entry.record.id)
        assert last is not None
        assert last.record.HasField("cost") is bool(providers.starts[entry.record.id])


async def test_job_cancelled_before_its_call_is_never_started(replica: Replica, providers: ScriptedProviders) -> None:
    submitting = asyncio.ensure_future(replica.submit(records.job()))
    entry = await submitting
    # Cancelled in the same turn of the event loop: the call has not begun.
    await replica.engine.execution.cancellation.cancel(entry)
    await replica.held_nothing()
    last = await replica.stream.last(entry.record.id)
    assert last is not None
    assert last.record.HasField("cost") is bool(providers.starts[entry.record.id])


async def test_task_that_can_not_be_stopped_is_polled_to_its_end(
    replica: Replica, providers: ScriptedProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "RETRY_SECONDS", 0.0)
    providers.stops = False
    go = asyncio.Semaphore(0)

    async def start(_request: object) -> provider.TaskState:
        return records.running("task-1")

    async def poll(_request: provider.PollRequest) -> provider.TaskState:
        await go.acquire()
        polls = providers.polls.total()
        return records.done() if polls > 2 else records.running("task-2", progress=polls)

    providers.on_start, providers.on_poll = start, poll
    submitted = await replica.submit(records.job())
    running = await replica.reached(submitted.record.id, lambda entry: entry.record.state == states.RUNNING)
    await replica.engine.execution.cancellation.cancel(running)
    waiting = await replica.submit(records.job())
    assert waiting.record.state == states.QUEUED
    for _ in range(3):
        go.release()
    providers.on_start = ended = PendingCall()
    await asyncio.wait_for(ended.begun.wait(), PATIENCE)
    ended.answer(records.done())
    await replica.ended(waiting.record.id)
    await replica.held_nothing()
    last = await replica.stream.last(submitted.record.id)
    assert last is not None
    assert (last.record.state, last.record.HasField("cost")) == (states.CANCELLED, True)


async def test_task_that_can_not_be_stopped_holds_its_slot_to_its_deadline_at_most(
    replica: Replica, providers: ScriptedProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "RETRY_SECONDS", 0.02)
    providers.stops = False

    async def running(_request: object) -> provider.TaskState:
        return records.running(after=0.02)

    providers.on_start = providers.on_poll = running
    submitted = await replica.submit(records.job(deadline_seconds=2.0))
    entry = await replica.reached(submitted.record.id, lambda entry: entry.record.state == states.RUNNING)
    await replica.engine.execution.cancellation.cancel(entry)
    await replica.held_nothing()
    last = await replica.stream.last(submitted.record.id)
    assert last is not None
    assert (last.record.state, last.record.HasField("cost")) == (states.CANCELLED, False)


async def test_call_that_passes_the_deadline_holds_its_slot_until_it_ends(
    replica: Replica, providers: ScriptedProviders
) -> None:
    providers.on_start = call = PendingCall()
    submitted = await replica.submit(records.job(deadline_seconds=2.0))
    ended = await replica.ended(submitted.record.id)
    assert (ended.record.state, ended.record.call_open) == (states.FAILED, True)
    waiting = await replica.submit(records.job())
    assert waiting.record.state == states.QUEUED
    call.answer(records.done())
    await replica.ended(waiting.record.id)
    await replica.held_nothing()
    last = await replica.stream.last(submitted.record.id)
    assert last is not None
    assert (last.record.state, last.record.HasField("cost")) == (states.FAILED, True)


async def test_cancel_takes_effect_when_its_caller_disconnects(
    replica: Replica, providers: ScriptedProviders
) -> None:
    providers.on_start = call = PendingCall()
    submitted = await replica.submit(records.job())
    await call.begun.wait()
    cancelling = asyncio.ensure_future(replica.engine.execution.cancellation.cancel(submitted))
    await asyncio.sleep(0)
    cancelling.cancel()
    assert (await replica.ended(submitted.record.id)).record.state == states.CANCELLED
    call.answer(records.done())
    await replica.held_nothing()
