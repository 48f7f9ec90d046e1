"""Traces of jobs: one trace from the call to the end, whichever replica works on the job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs import job_trace, states, transitions
from imagegateway.platform import logs, trace_context, tracing
from imagegateway.platform.spans import SpanKind
from imagegateway.platform.trace_context import TraceContext
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.jobs import records
from tests.jobs.replica import serving
from tests.jobs.scripted_providers import PendingCall

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from opentelemetry.sdk.trace import ReadableSpan

    from tests.jobs.replica import Replica
    from tests.jobs.scripted_providers import ScriptedProviders
    from tests.jobs.server import Nats

CALLER = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1, "rojo=1")


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Record the spans of this process in memory."""
    from imagegateway.platform.span_export import SpanExport  # noqa: PLC0415

    exporter = InMemorySpanExporter()
    tracing.use(SpanExport("router-0", SimpleSpanProcessor(exporter)))
    yield exporter
    tracing.use(None)
    trace_context.enter(None)


def traced_job() -> JobRecord:
    """Return a new job of a traced call, as the router makes it."""
    trace_context.enter(CALLER)
    with tracing.span("Generate", SpanKind.SERVER):
        record = records.job()
        record.request_id = "req_of_the_caller"
        job_trace.begin(record)
    trace_context.enter(None)
    return record


def position(record: JobRecord) -> TraceContext:
    found = job_trace.position_of(record)
    assert found
    return found


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def ids(span: ReadableSpan) -> tuple[str, str, str]:
    """Return a span's trace id, id and parent's id."""
    context, parent = span.context, span.parent
    assert context
    return f"{context.trace_id:032x}", f"{context.span_id:016x}", f"{parent.span_id:016x}" if parent else ""


def test_job_without_export_keeps_the_callers_position() -> None:
    trace_context.enter(CALLER)
    record = records.job()
    job_trace.begin(record)
    trace_context.enter(None)
    assert (record.trace.traceparent, record.trace.tracestate) == (CALLER.traceparent, "rojo=1")
    assert record.trace.parent_span_id == ""
    assert job_trace.trace_id(record) == CALLER.trace_id


def test_job_of_a_call_without_a_trace_has_none() -> None:
    record = records.job()
    job_trace.begin(record)
    assert not record.HasField("trace")
    assert job_trace.trace_id(record) is None
    assert job_trace.metadata(record) == ()


def test_erased_job_forgets_its_trace(exporter: InMemorySpanExporter) -> None:
    record = traced_job()
    transitions.mark_cancelled(record)
    transitions.erase(record)
    assert not record.HasField("trace")


async def test_ended_job_is_one_span_below_its_call(
    replica: Replica, providers: ScriptedProviders, exporter: InMemorySpanExporter
) -> None:
    record = traced_job()
    entry = await replica.submit(record)
    ended = (await replica.ended(entry.record.id)).record
    await replica.held_nothing()
    spans = by_name(exporter)
    call, job = spans["Generate"], spans[record.type]
    trace_id, span_id, parent_id = ids(job)
    assert (trace_id, parent_id) == (CALLER.trace_id, ids(call)[1])
    assert span_id == position(ended).span_id
    assert job.attributes
    assert dict(job.attributes) == {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.output.type": "image",
        "gen_ai.provider.name": "local",
        "gen_ai.request.model": "local/sketch",
        "imagegateway.job.attempts": 1,
        "imagegateway.job.cost_usd": 1.0,
        "imagegateway.job.id": record.id,
        "imagegateway.job.state": "completed",
        "imagegateway.request.id": "req_of_the_caller",
        "imagegateway.tenant": record.tenant,
    }
    assert job.end_time == ended.completed_at * 1_000_000
    assert "queue" not in spans


async def test_successor_of_a_crashed_replica_exports_the_same_span(
    nats: Nats, providers: ScriptedProviders, exporter: InMemorySpanExporter
) -> None:
    providers.on_start = call = PendingCall()
    async with serving(nats.settings, providers) as dying:
        record = traced_job()
        await dying.submit(record)
        await call.begun.wait()
        await dying.crash()
    async with serving(nats.settings, providers) as successor:
        await successor.reached(record.id, lambda entry: entry.record.owner == successor.engine.membership.owner)
        call.answer(records.refused())
        ended = (await successor.ended(record.id)).record
        assert ended.state == states.FAILED
        await successor.held_nothing()
    spans = by_name(exporter)
    job, takeover = spans[record.type], spans["take_over"]
    assert ids(job) == (CALLER.trace_id, position(record).span_id, ids(spans["Generate"])[1])
    assert ids(takeover)[::2] == (CALLER.trace_id, ids(job)[1])
    assert job.attributes
    assert job.attributes["error.type"] == "provider_error"
    assert not job.status.is_ok


async def test_wait_for_slots_is_a_span_of_the_job_that_waited(
    replica: Replica, providers: ScriptedProviders, exporter: InMemorySpanExporter
) -> None:
    providers.on_start = call = PendingCall()
    first, second = traced_job(), traced_job()
    await replica.submit(first)
    await call.begun.wait()
    assert (await replica.submit(second)).record.state == states.QUEUED
    call.answer(records.done())
    await replica.ended(second.id)
    await replica.held_nothing()
    (wait,) = [span for span in exporter.get_finished_spans() if span.name == "queue"]
    assert ids(wait)[::2] == (CALLER.trace_id, position(second).span_id)


async def test_step_of_a_job_has_that_jobs_context_whichever_job_started_it(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Mapping[str, str]] = {}

    def metadata(record: JobRecord) -> tuple[()]:
        seen[record.id] = logs.context()
        return ()

    monkeypatch.setattr(job_trace, "metadata", metadata)
    jobs = []
    for number in range(3):
        record = records.job()
        record.request_id = f"req_{number}"
        record.trace.traceparent = f"00-{number + 1:032x}-00f067aa0ba902b7-01"
        jobs.append(record)
        await replica.submit(record)
    for number, record in enumerate(jobs):
        await replica.ended(record.id)
        assert seen[record.id] == {
            "job_id": record.id,
            "request_id": f"req_{number}",
            "trace_id": f"{number + 1:032x}",
        }
