"""Usage entries: what one ended job adds to usage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError
from imagegateway.job.v1.usage_entry_pb2 import UsageBatch, UsageEntry
from imagegateway.jobs import states
from imagegateway.jobs.retention import usage_expires_at
from imagegateway.jobs.stream_messages import read_record
from imagegateway.platform.money import nanodollars

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.stream import Entry

_MAX_MILLIS: Final = 253_402_300_800_000
"""First instant of the year 10000, which no calendar here knows."""
_MAX_COST: Final = 1e9
"""Cost of one job in US dollars from which a record is damaged: sums must fit 64 bits."""


def read_ended(subject: str, data: bytes) -> JobRecord:
    """Return the record of an ended job in a message. Raises ValueError for one that can't be counted."""
    record = read_record(subject, data)
    if not 0 < record.completed_at < _MAX_MILLIS:
        raise ValueError("a job without an end")
    if not abs(record.cost.amount) < _MAX_COST:  # not a number neither
        raise ValueError("a job without a cost in range")
    return record


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
        cost=nanodollars(record.cost),
        expires_at=usage_expires_at(record),
    )


def read_batch(_subject: str, data: bytes) -> UsageBatch:
    """Return the batch in a message. Raises ValueError for invalid data."""
    try:
        batch = UsageBatch.FromString(data)
    except DecodeError as error:
        raise ValueError("no usage") from error
    if not all(0 < entry.ended_at < _MAX_MILLIS for entry in batch.entries):
        raise ValueError("usage without a time")
    return batch
