"""Messages of the job stream: subjects, and validation of contents that other clients may have written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError
from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import states
from imagegateway.platform.stored_values import StoredObject


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message of the stream."""

    subject: str
    seq: int
    data: bytes


_ACKNOWLEDGEMENT: Final = b"$JS.ACK."
_FIELDS: Final = 9
"""Fields of a delivery's reply subject, `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence in the stream>.
<sequence in the consumer>.<time>.<pending>`. Servers with a domain insert two after the second one."""


def is_delivery(reply: bytes) -> bool:
    """Return whether a message with this reply subject is one of a stream."""
    return reply.startswith(_ACKNOWLEDGEMENT)


def sequences(reply: bytes) -> tuple[int, int]:
    """Return a delivery's sequences in the stream and in the consumer, by its reply subject."""
    fields = reply.split(b".")
    first = 5 if len(fields) == _FIELDS else 7
    return int(fields[first]), int(fields[first + 1])


def subject_of(record: JobRecord) -> str:
    """Return the subject of a record's message. Raises ValueError for a state that this version does not know."""
    # A separate subject: the record is stored before the messages that it replaces are deleted.
    state = "erased" if record.erased_at else states.token(record.state)
    return f"j.{record.id}.{record.family}.{state}"


def read_record(subject: str, data: bytes) -> JobRecord:
    """Return the record in a message. Raises ValueError for invalid data and for another subject's record."""
    try:
        record = JobRecord.FromString(data)
    except DecodeError as error:
        raise ValueError("no job record") from error
    if record.state not in states.PUBLIC or subject != subject_of(record):
        raise ValueError("another job's record")
    return record


def read_claim(_subject: str, data: bytes) -> tuple[str, str]:
    """Return the job id and the request digest of an idempotency claim. Raises ValueError."""
    claim = StoredObject.parse(data)
    return claim.text("job_id"), claim.text("request")
