"""Follow-up of a job's end: its log line, and the deletion of its inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.jobs import states
from imagegateway.media.store import StoreUnavailable
from imagegateway.platform import logs
from imagegateway.platform.errors import code_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.media.store import MediaStore

_log = logs.get(__name__)


def log_finished(record: JobRecord) -> None:
    """Log a job's end: once, by the replica that wrote it. Durations are in milliseconds."""
    started_at = record.started_at or record.completed_at
    _log.info(
        "job_finished",
        job_id=record.id,
        state=states.PUBLIC[record.state],
        reason=code_of(record.failed.reason) if record.HasField("failed") else None,
        model=record.task.model,
        provider=record.task.route,
        cost=record.cost.amount if record.HasField("cost") else None,
        queue_ms=started_at - record.created_at,
        provider_ms=record.completed_at - started_at,
        total_ms=record.completed_at - record.created_at,
        request_id=record.request_id,
    )


async def delete_inputs(store: MediaStore, keys: Sequence[str]) -> None:
    """Delete a job's inputs. Those that a failing store keeps are swept when their day is over."""
    if not keys:
        return
    try:
        await store.delete(keys)
    except StoreUnavailable:
        _log.warning("inputs_not_deleted", count=len(keys))
