"""Jobs that end before their provider call: cancelled, or past their deadline."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs import states
from imagegateway.platform.errors import code_of

from tests.jobs import records
from tests.jobs.scripted_providers import PendingCall
from tests.jobs.server import PATIENCE

if TYPE_CHECKING:
    from imagegateway.provider.v1 import provider_service_pb2 as provider

    from tests.jobs.replica import Replica
    from tests.jobs.scripted_providers import ScriptedProviders


# ---- cancels


async def test_queued_job_is_cancelled(replica: Replica, providers: ScriptedProviders) -> None:
    call = PendingCall()
    providers.on_start = call
    first = await replica.submit(records.job())
    second = await replica.submit(records.job())
    third = await replica.submit(records.job())
    cancelled = await replica.engine.execution.cancellation.cancel(second)
    assert cancelled.record.state == states.CANCELLED
    assert replica.engine.execution.admission.position(third.record) == 0
    await replica.engine.execution.worker.start(
        second
    )  # as a submission that learns of its write after the cancellation
    assert not replica.engine.execution.worker.is_attended(second.record.id)
    call.answer(records.done())
    await replica.ended(first.record.id)
    await replica.ended(third.record.id)
    assert providers.starts[second.record.id] == 0
    assert not providers.cancels
    await replica.held_nothing()


@pytest.mark.parametrize("late", ["running", "done", "failed"])
async def test_submitting_job_is_cancelled(replica: Replica, providers: ScriptedProviders, late: str) -> None:
    call = PendingCall()
    providers.on_start = call
    submitted = await replica.submit(records.job())
    await call.begun.wait()
    await replica.engine.execution.cancellation.cancel(submitted)
    call.answer({"running": records.running, "done": records.done, "failed": records.refused}[late]())
    await replica.engine.drain(PATIENCE)
    job_id = submitted.record.id
    # First the call in progress, whose task reference is not known yet.
    assert providers.cancels == [(job_id, ""), *([(job_id, "task-1")] if late == "running" else [])]
    assert providers.starts[job_id] == 1
    entry = await replica.stream.last(job_id)
    assert entry is not None
    assert entry.record.state == states.CANCELLED
    await replica.held_nothing()


async def test_running_job_is_cancelled(replica: Replica, providers: ScriptedProviders) -> None:
    async def start(_request: object) -> provider.TaskState:
        return records.running(after=3600)

    providers.on_start = start
    submitted = await replica.submit(records.job())
    running = await replica.reached(submitted.record.id, lambda entry: entry.record.state == states.RUNNING)
    # The caller knows an older state, as another replica may.
    cancelled, again = await asyncio.gather(
        replica.engine.execution.cancellation.cancel(submitted), replica.engine.execution.cancellation.cancel(running)
    )
    assert cancelled.event_seq == again.event_seq, "one end, though the second may see its call ended"
    assert cancelled.record.state == states.CANCELLED
    assert cancelled.record.completed_at
    await replica.engine.drain(PATIENCE)
    assert providers.cancels == [(submitted.record.id, "task-1")]
    # A second cancel changes nothing.
    repeated = await replica.engine.execution.cancellation.cancel(submitted)
    assert repeated.event_seq == cancelled.event_seq
    assert repeated.record.completed_at == cancelled.record.completed_at
    assert len(providers.cancels) == 1
    await replica.held_nothing()


async def test_ended_job_can_not_be_cancelled(replica: Replica, providers: ScriptedProviders) -> None:
    submitted = await replica.submit(records.job())
    ended = await replica.ended(submitted.record.id)
    assert await replica.engine.execution.cancellation.cancel(submitted) == ended
    assert ended.record.state == states.COMPLETED
    assert not providers.cancels


async def test_job_is_cancelled_during_a_poll(replica: Replica, providers: ScriptedProviders) -> None:
    poll = PendingCall()

    async def start(_request: object) -> provider.TaskState:
        return records.running()

    providers.on_start, providers.on_poll = start, poll
    submitted = await replica.submit(records.job())
    await asyncio.wait_for(poll.begun.wait(), PATIENCE)
    cancelled = await replica.engine.execution.cancellation.cancel(submitted)
    poll.answer(records.done())
    await replica.engine.drain(PATIENCE)
    last = await replica.stream.last(submitted.record.id)
    assert last is not None
    assert last.event_seq == cancelled.seq
    assert last.record.state == states.CANCELLED
    assert last.record.HasField("cost"), "it was done, and paid"
    assert providers.cancels == [(submitted.record.id, "task-1")]
    await replica.held_nothing()


# ---- deadlines


async def test_queued_job_fails_at_its_deadline(replica: Replica, providers: ScriptedProviders) -> None:
    call = PendingCall()
    providers.on_start = call
    first = await replica.submit(records.job())
    late = await replica.submit(records.job(deadline_seconds=-1))
    await replica.engine.execution.reconciler.reconcile()
    ended = (await replica.ended(late.record.id)).record
    assert (ended.state, code_of(ended.failed.reason), ended.failed.may_be_billed) == (
        states.FAILED,
        "provider_timeout",
        False,
    )
    assert providers.starts[late.record.id] == 0
    call.answer(records.done())
    await replica.ended(first.record.id)
    await replica.held_nothing()


async def test_submitting_job_fails_at_its_deadline(replica: Replica, providers: ScriptedProviders) -> None:
    providers.on_start = call = PendingCall()
    submitted = await replica.submit(records.job(deadline_seconds=2.0))
    ended = (await replica.ended(submitted.record.id)).record
    assert (ended.state, code_of(ended.failed.reason), ended.failed.may_be_billed) == (
        states.FAILED,
        "provider_timeout",
        True,
    )
    assert ended.id in ended.failed.message
    call.answer(records.refused())
    await replica.engine.drain(PATIENCE)
    assert providers.cancels == [(ended.id, "")]
    await replica.held_nothing()


async def test_running_job_fails_at_its_deadline(replica: Replica, providers: ScriptedProviders) -> None:
    async def running(_request: object) -> provider.TaskState:
        return records.running(after=0.02)

    providers.on_start = providers.on_poll = running
    submitted = await replica.submit(records.job(deadline_seconds=2.0))
    ended = (await replica.ended(submitted.record.id)).record
    assert (ended.state, code_of(ended.failed.reason)) == (states.FAILED, "provider_timeout")
    assert providers.cancels == [(submitted.record.id, "task-1")]
    await replica.held_nothing()
