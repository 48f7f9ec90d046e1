"""Usage entries: what one ended job adds to usage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError
from imagegateway.job.v1.usage_entry_pb2 import UsageBatch, UsageEntry
from imagegateway.jobs import states
from imagegateway.jobs.retention import usage_expires_at

if TYPE_CHECKING:
    from imagegateway.jobs.stream import Entry

BILLIONTHS: Final = 1_000_000_000
"""Units of a US dollar in which costs are summed."""


def entry_of(job: Entry) -> UsageEntry:
    """Return the usage of an ended job."""
    record, task = job.record, job.record.task
    return UsageEntry(
        job_id=record.id,
        record_seq=job.seq,
        tenant=record.tenant,
        key_id=record.key_id,
        model=task.model,
        provider=task.route,
        modality=record.modality,
        user=task.user,
        metadata=record.metadata,
        ended_at=record.completed_at,
        images=len(record.done.artifacts) or record.erased_images,
        failed=record.state == states.FAILED,
        cost=round(record.cost.amount * BILLIONTHS),
        expires_at=usage_expires_at(record),
    )


def read_batch(_subject: str, data: bytes) -> UsageBatch:
    """Return the batch in a message. Raises ValueError for invalid data."""
    try:
        return UsageBatch.FromString(data)
    except DecodeError as error:
        raise ValueError("no usage") from error
