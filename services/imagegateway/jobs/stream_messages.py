"""The stream's messages, which others may have written as well: subjects, and what may be believed of contents."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import DecodeError
from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import states
from imagegateway.platform.stored_values import StoredObject


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the stream."""

    subject: str
    seq: int
    data: bytes


def subject_of(record: JobRecord) -> str:
    """Return the subject that a record is written on. Raises ValueError for a state that this version can't know."""
    return f"j.{record.id}.{record.family}.{states.token(record.state)}"


def read_record(subject: str, data: bytes) -> JobRecord:
    """Return the record in a message. Raises ValueError for one that is not of this subject, or none at all."""
    try:
        record = JobRecord.FromString(data)
    except DecodeError as error:
        raise ValueError("no job record") from error
    if record.state not in states.PUBLIC or subject != subject_of(record):
        raise ValueError("another job's record")
    return record


def read_claim(_subject: str, data: bytes) -> tuple[str, str]:
    """Return the job and the request that an idempotency key stands for. Raises ValueError."""
    held = StoredObject(data)
    return held.text("job_id"), held.text("request")
