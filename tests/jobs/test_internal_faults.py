"""Faults inside the gateway: no paid result is lost and no job is left unattended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

import pytest
from imagegateway.jobs import polling, states, transitions
from imagegateway.jobs.open_calls import OpenCalls
from imagegateway.jobs.stream import Entry
from imagegateway.jobs.stream_errors import OutcomeUnknownError
from imagegateway.jobs.worker import Worker
from imagegateway.platform.errors import INTERNAL, GatewayError, code_of
from imagegateway.v1.error_reason_pb2 import ErrorReason
from structlog.testing import capture_logs

from tests.jobs import records
from tests.jobs.replica import serving
from tests.jobs.scripted_providers import PendingCall
from tests.jobs.server import PATIENCE, settings_for, until

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.provider.v1 import provider_service_pb2 as provider

    from tests.jobs.replica import Replica
    from tests.jobs.scripted_providers import ScriptedProviders
    from tests.jobs.server import Nats


async def _running(_request: object) -> provider.TaskState:
    return records.running()


def _broken(*_arguments: object) -> NoReturn:
    raise ZeroDivisionError


async def test_price_that_raises_costs_no_image(nats: Nats, providers: ScriptedProviders) -> None:
    settings = settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address())
    async with serving(settings, providers, price=_broken) as replica:
        submitted = await replica.submit(records.job())
        ended = (await replica.ended(submitted.record.id)).record
        assert (ended.state, len(ended.done.artifacts), ended.HasField("cost")) == (states.COMPLETED, 1, False)
        await replica.held_nothing()


@pytest.mark.parametrize("at", ["start", "poll"])
async def test_unreadable_key_ends_the_job(replica: Replica, providers: ScriptedProviders, at: str) -> None:
    live = replica.engine.feed.live

    def replace_key(entry: Entry) -> None:
        if entry.record.state == states.RUNNING:
            changed = entry.copy()
            changed.sealed_credential = b"sealed under another root secret"
            live.hold(Entry(entry.seq, changed))

    providers.on_start = _running
    replica.engine.feed.add_listener(replace_key)
    record = records.job()
    sealed = replica.engine.credentials.seal("a key")
    record.sealed_credential = b"sealed under another root secret" if at == "start" else sealed
    submitted = await replica.submit(record)
    ended = (await replica.ended(submitted.record.id)).record
    assert (ended.state, code_of(ended.failed.reason)) == (states.FAILED, "internal")
    assert ended.failed.may_be_billed is (at == "poll")
    assert providers.starts[record.id] == (at == "poll")
    await replica.held_nothing()


async def test_unreadable_key_does_not_keep_a_cancel_from_ending(
    replica: Replica, providers: ScriptedProviders
) -> None:
    providers.on_start = call = PendingCall()
    submitted = await replica.submit(records.job())
    await call.begun.wait()
    submitted.record.sealed_credential = b"sealed under another root secret"
    await replica.engine.execution.cancellation.cancel(submitted)
    call.answer(records.done())
    await replica.held_nothing()
    assert not providers.cancels


async def test_result_that_crashes_its_transition_ends_the_job(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transitions, "mark_completed", _broken)
    submitted = await replica.submit(records.job())
    ended = (await replica.ended(submitted.record.id)).record
    assert (ended.state, code_of(ended.failed.reason), ended.failed.may_be_billed) == (
        states.FAILED,
        "internal",
        True,
    )
    await replica.held_nothing()


async def test_poll_that_crashes_is_repeated(
    replica: Replica, providers: ScriptedProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "RETRY_SECONDS", 0.0)

    async def poll(_request: object) -> provider.TaskState:
        if providers.polls.total() < 5:
            raise INTERNAL
        return records.done()

    providers.on_start, providers.on_poll = _running, poll
    submitted = await replica.submit(records.job())
    assert (await replica.ended(submitted.record.id)).record.state == states.COMPLETED


async def test_poll_that_always_crashes_fails_the_job(
    replica: Replica, providers: ScriptedProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "RETRY_SECONDS", 0.0)

    async def poll(_request: object) -> provider.TaskState:
        raise ZeroDivisionError

    providers.on_start, providers.on_poll = _running, poll
    submitted = await replica.submit(records.job())
    ended = (await replica.ended(submitted.record.id)).record
    assert (ended.failed.reason, ended.failed.may_be_billed) == (ErrorReason.ERROR_REASON_INTERNAL, True)
    assert providers.polls.total() == 5


# ---- the reconciler


@pytest.mark.parametrize("step", ["start", "_apply_result", "_start_queued", "_poll", "close"])
async def test_crashed_step_is_resumed_by_the_reconciler(
    replica: Replica, providers: ScriptedProviders, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """After a crash of any step, the reconciler resumes the job from its record, and the job is billed once."""
    providers.on_start = call = PendingCall()
    providers.on_poll = _done
    crashed = asyncio.Event()

    async def crash(*_arguments: object, **_options: object) -> None:
        crashed.set()
        raise ZeroDivisionError

    def crash_at_once(*_arguments: object) -> None:
        crashed.set()
        raise ZeroDivisionError

    first = await replica.submit(records.job())
    await call.begun.wait()
    with monkeypatch.context() as patch:
        patch.setattr(OpenCalls if step == "close" else Worker, step, crash_at_once if step == "start" else crash)
        if step in {"start", "_start_queued"}:
            second = await replica.submit(records.job())
        if step == "close":
            await replica.engine.execution.cancellation.cancel(first)
        call.answer(records.running() if step == "_poll" else records.done())
        await asyncio.wait_for(crashed.wait(), PATIENCE)
        await asyncio.sleep(0.05)
    if step == "start":
        await replica.ended(first.record.id)
    await until(lambda: replica.engine.execution.steps.idle)
    await replica.engine.execution.reconciler.reconcile()
    if step in {"start", "_start_queued"}:
        assert (await replica.ended(second.record.id)).record.ended_seq == 0
    await replica.held_nothing()
    last = await replica.stream.last(first.record.id)
    assert last is not None
    assert last.record.state == (states.CANCELLED if step == "close" else states.COMPLETED)
    assert providers.starts[first.record.id] == 1


async def _done(_request: object) -> provider.TaskState:
    return records.done()


async def test_slot_without_a_job_is_freed(replica: Replica) -> None:
    assert replica.engine.execution.admission.try_reserve(records.job())
    waiting = await replica.submit(records.job())
    assert waiting.record.state == states.QUEUED
    await replica.engine.execution.reconciler.reconcile()
    assert (await replica.ended(waiting.record.id)).record.state == states.COMPLETED
    await replica.held_nothing()


# ---- the log


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
async def test_each_end_is_one_log_line(replica: Replica, providers: ScriptedProviders, end: str) -> None:
    providers.on_start = call = PendingCall()
    record = records.job()
    record.request_id, trace_id = "req_of_the_caller", "4bf92f3577b34da6a3ce929d0e0e4736"
    record.trace.traceparent = f"00-{trace_id}-00f067aa0ba902b7-01"
    with capture_logs() as lines:
        submitted = await replica.submit(record)
        await call.begun.wait()
        if end == "cancelled":
            await replica.engine.execution.cancellation.cancel(submitted)
        call.answer(records.refused() if end == "failed" else records.done())
        ended = (await replica.ended(record.id)).record
        await replica.held_nothing()
    [line] = [line for line in lines if line["event"] == "job_finished"]
    assert line["job_id"] == record.id
    assert line["request_id"] == "req_of_the_caller"
    assert (line["state"], line["model"], line["provider"]) == (end, "local/sketch", "local")
    assert line["reason"] == ("provider_error" if end == "failed" else None)
    assert line["cost"] == (1.0 if end == "completed" else None)
    total = (ended.completed_at - ended.created_at) / 1000
    assert line["queue_seconds"] + line["provider_seconds"] == pytest.approx(line["total_seconds"])
    assert line["total_seconds"] == pytest.approx(total)
    assert line["trace_id"] == trace_id


async def test_job_that_is_cancelled_by_its_first_record_ends_with_one_log_line(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, lost = replica.stream.create, [OutcomeUnknownError()]

    async def unanswered_once(record: JobRecord) -> Entry:
        if lost:
            raise lost.pop()
        return await create(record)

    monkeypatch.setattr(replica.stream, "create", unanswered_once)
    record = records.job()
    with capture_logs() as lines:
        with pytest.raises(GatewayError):
            await replica.submit(record)
        await replica.ended(record.id)
        await replica.held_nothing()
    (line,) = [line for line in lines if line["event"] == "job_finished"]
    assert (line["job_id"], line["state"]) == (record.id, "cancelled")
