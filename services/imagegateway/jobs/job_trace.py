"""Job traces: a job's position in its trace, kept in the record, and the spans that describe the job.

The record holds the id of the job's own span, the parent of everything that is done for the job, and the replica that
writes the end exports that span. So a job that another replica takes over stays one trace without a gap.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from imagegateway.jobs import states
from imagegateway.platform import logs, trace_context, tracing
from imagegateway.platform.clock import unix_millis
from imagegateway.platform.errors import code_of
from imagegateway.platform.trace_context import TraceContext
from imagegateway.providers import gen_ai

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.platform.spans import Attribute


def begin(record: JobRecord) -> None:
    """Set the position of a new job, below this task's."""
    caller = trace_context.current()
    if caller is None:
        return
    own = tracing.reserve()
    if own:
        record.trace.parent_span_id = caller.span_id
    position = own or caller
    record.trace.traceparent = position.traceparent
    record.trace.tracestate = position.state


def position_of(record: JobRecord) -> TraceContext | None:
    """Return a job's position, if the job belongs to a trace."""
    trace = record.trace
    return _parse(trace.traceparent, trace.tracestate)


_parse = lru_cache(maxsize=1024)(TraceContext.parse)
"""Each step of a job, its call and its end need the same position."""


def trace_id(record: JobRecord) -> str | None:
    """Return the id of a job's trace, if the job belongs to one."""
    position = position_of(record)
    return position.trace_id if position else None


def enter(record: JobRecord) -> None:
    """Make log lines and spans of this task the job's."""
    logs.enter(job_id=record.id, request_id=record.request_id)
    trace_context.enter(position_of(record))


def metadata(record: JobRecord) -> Sequence[tuple[str, str]]:
    """Return the metadata by which a provider server logs and traces its part of a job."""
    position = position_of(record)
    headers = position.headers() if position else {}
    if record.request_id:
        headers["x-request-id"] = record.request_id
    return tuple(headers.items())


def record_wait(record: JobRecord) -> None:
    """Record the span of a job's wait for slots, which began with `record` and ends now."""
    tracing.record(
        "queue",
        parent=position_of(record),
        start=record.updated_at,
        end=unix_millis(),
        attributes={gen_ai.JOB_ID: record.id},
    )


def record_takeover(record: JobRecord, *, previous: str) -> None:
    """Record that this replica, the record's owner, has taken a job over from `previous`."""
    now = unix_millis()
    attributes = {
        gen_ai.JOB_ID: record.id,
        "imagegateway.owner": record.owner,
        "imagegateway.previous_owner": previous,
    }
    tracing.record("take_over", parent=position_of(record), start=now, end=now, attributes=attributes)


def record_job(record: JobRecord) -> None:
    """Record the span of an ended job, from its acceptance to its end."""
    position = position_of(record)
    if position is None or not record.trace.parent_span_id or not tracing.is_on():
        return
    parent = TraceContext(
        position.trace_id, record.trace.parent_span_id, position.flags, position.state, is_remote=False
    )
    attributes: dict[str, Attribute] = {
        gen_ai.JOB_ID: record.id,
        "imagegateway.job.state": states.PUBLIC[record.state],
        "imagegateway.job.attempts": record.attempt,
        "imagegateway.request.id": record.request_id,
        "imagegateway.tenant": record.tenant,
        **gen_ai.request_attributes(record.task, record.modality),
    }
    if record.HasField("cost"):
        attributes["imagegateway.job.cost_usd"] = record.cost.amount
    tracing.record(
        record.type,
        parent=parent,
        span_id=position.span_id,
        start=record.created_at,
        end=record.completed_at,
        attributes=attributes,
        error=code_of(record.failed.reason) if record.HasField("failed") else "",
    )
