"""End of a job for operators: one log line and one span, by the replica that writes the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.jobs import job_trace, states
from imagegateway.platform import logs
from imagegateway.platform.errors import code_of

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord

_log = logs.get(__name__)


def report(record: JobRecord) -> None:
    """Log a job's end, and record its span."""
    started_at = record.started_at or record.completed_at
    _log.info(
        "job_finished",
        job_id=record.id,
        state=states.PUBLIC[record.state],
        reason=code_of(record.failed.reason) if record.HasField("failed") else None,
        model=record.task.model,
        provider=record.task.route,
        cost=record.cost.amount if record.HasField("cost") else None,
        queue_seconds=_seconds(record.created_at, started_at),
        provider_seconds=_seconds(started_at, record.completed_at),
        total_seconds=_seconds(record.created_at, record.completed_at),
        request_id=record.request_id,
        trace_id=job_trace.trace_id(record),
    )
    job_trace.record_job(record)


def _seconds(start: int, end: int) -> float:
    """Return the duration between two times in Unix milliseconds."""
    return round((end - start) / 1000, 3)
