"""Job stream in NATS JetStream: compare-and-set writes, leader reads, history and one ordered feed.

Subjects: `j.<job id>.<family>.<state>` hold records, `k.<digest>` hold idempotency claims. An erased job's state is
`erased`. A write names the last sequence of its job that the writer has read; the server refuses the write when a
newer message exists. So of two writers one wins, and no state goes back. The server flushes every write before the
acknowledgement (`sync_interval: always`).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import record_size, states, stream_connection
from imagegateway.jobs.retention import record_seconds
from imagegateway.jobs.stream_connection import NAME, StreamConnection
from imagegateway.jobs.stream_errors import (
    NoRoomError,
    OutcomeUnknownError,
    RecordTooLargeError,
    RefusedError,
    StaleError,
    refusal,
    unavailable,
)
from imagegateway.jobs.stream_messages import read_record, subject_of
from imagegateway.jobs.stream_setup import check_permissions, make_stream
from imagegateway.platform import backoff, logs, metrics
from imagegateway.platform.clock import unix_millis
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.stored_values import Decoder
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.jobs.stream_messages import Message
    from imagegateway.platform.nats_client import Client

_FULL_TRIES: Final = 3
"""Attempts to write a new job to a stream without room."""
_ATTEMPT_SECONDS: Final = 1.0
"""Timeout of each attempt to write a new job: a server without room does not answer."""
_CHECK_TTL: Final = 60
"""Lifetime of a write check's message in seconds."""
_WRITE_SECONDS: Final = {
    outcome: metrics.NATS_WRITE_SECONDS.labels(outcome)
    for outcome in ("written", "conflict", "refused", "unanswered")
}
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A job's record, and the sequence of the message that holds it."""

    seq: int
    record: JobRecord

    @property
    def ended(self) -> bool:
        """True if the job has ended."""
        return self.record.state in states.TERMINAL

    @property
    def closed(self) -> bool:
        """True if the job and its provider call have ended: its cost is final."""
        return self.ended and not self.record.call_open

    @property
    def event_seq(self) -> int:
        """Sequence that subscribers see as the event id. Later writes of an ended job keep that of its end."""
        return self.record.ended_seq or self.seq

    def copy(self) -> JobRecord:
        """Return a copy of the record for the next write."""
        record = JobRecord()
        record.CopyFrom(self.record)
        if self.ended:
            record.ended_seq = self.event_seq
        return record


class JobStream:
    """Reads and writes job records."""

    def __init__(self, connection: StreamConnection) -> None:
        self._connection = connection
        self._decoder = Decoder(NAME)

    @classmethod
    async def open(
        cls, client: Client, replicas: int, max_bytes: int = -1, outage: asyncio.Event | None = None
    ) -> JobStream:
        """Create the stream or update its configuration. Any replica may do so at any time.

        `max_bytes`: largest size of the stream; -1: no limit. `outage` as in StreamConnection. Raises
        nats.errors.Error, and SettingError when this process may not write.
        """
        connection = StreamConnection(client, outage=outage)
        await make_stream(connection.js, NAME, replicas, max_bytes)
        await check_permissions(connection, "j.permission.none.none", "k.permission")
        return cls(connection)

    @property
    def connected(self) -> bool:
        """True if the NATS connection is open."""
        return self._connection.connected

    @property
    def max_record_bytes(self) -> int:
        """Largest record that the server accepts."""
        return self._connection.max_payload - record_size.HEADERS_BYTES

    async def create(self, record: JobRecord) -> Entry:
        """Write a new job.

        Raises GatewayError when the record is too large or the engine refuses it or can't be reached,
        OutcomeUnknownError when the engine fails during the write, StaleError when the id is taken.
        """
        limit = self.max_record_bytes - record_size.GROWTH_BYTES
        if record.ByteSize() > limit:
            raise GatewayError(
                ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE,
                f"The request's fields take {record.ByteSize()} bytes, and this gateway keeps at most {limit}: "
                "shorten them. The operator can raise max_payload of the NATS server.",
            )
        deadline = time.monotonic() + stream_connection.PATIENCE_SECONDS
        unknown, full = False, 0
        while full < _FULL_TRIES:
            try:
                if self.connected:
                    return await self._write(record, None, retry=unknown, seconds=_ATTEMPT_SECONDS)
            except RefusedError:
                if unknown:  # the outcome of an earlier attempt
                    raise OutcomeUnknownError from None
                raise unavailable() from None
            except NoRoomError:
                full += 1
                continue
            except OutcomeUnknownError:
                unknown = True
            if self._connection.has_outage or time.monotonic() >= deadline:
                break
            await asyncio.sleep(stream_connection.RETRY_PAUSE)
        if unknown:
            raise OutcomeUnknownError
        raise unavailable()

    async def advance(self, entry: Entry, record: JobRecord) -> Entry:
        """Write a job's next record. Retry while the engine is unreachable or has no room.

        A terminal record that is too large is trimmed. Raises StaleError when another writer has changed the job,
        RefusedError when the server will never accept the write.
        """
        if record.state in states.TERMINAL and record.ByteSize() > self.max_record_bytes:
            _log.error("job_record_trimmed", job_id=record.id, bytes=record.ByteSize(), limit=self.max_record_bytes)
            record_size.trim(record, self.max_record_bytes)
        pauses = backoff.pauses()
        retry = False
        while True:
            try:
                return await self._write(record, entry, retry=retry)
            except OutcomeUnknownError:
                if not retry:
                    _log.warning("job_write_unanswered", job_id=record.id)
                retry = True
                await asyncio.sleep(next(pauses))

    async def _write(
        self, record: JobRecord, before: Entry | None, *, retry: bool, seconds: float | None = None
    ) -> Entry:
        """Make one attempt. `retry`: an earlier attempt with the same nonce may have been stored."""
        states.check(before.record.state if before else JobRecord.STATE_UNSPECIFIED, record.state)
        if not retry:
            record.nonce = secrets.token_hex(8)
            record.updated_at = unix_millis()
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(before.seq if before else 0),
            "Nats-Expected-Last-Subject-Sequence-Subject": f"j.{record.id}.>",
            "Nats-TTL": f"{record_seconds(record)}s",
        }
        data = record.SerializeToString()
        if len(data) > self.max_record_bytes:
            raise RecordTooLargeError(f"{len(data)} bytes, and the server accepts {self.max_record_bytes}")
        answer = await self._append(subject_of(record), data, headers, seconds)
        error = answer.get("error")
        if error is None:
            return Entry(int(answer["seq"]), record)
        failure = refusal(error)
        if not isinstance(failure, StaleError):
            _log.error("job_write_refused", job_id=record.id, error=error.get("description"))
            raise failure
        if retry:
            # The newer message may be this writer's own earlier attempt.
            found = await self._last(record.id)
            if found and found.record.nonce == record.nonce:
                return found
        raise failure

    async def _append(
        self, subject: str, data: bytes, headers: dict[str, str], seconds: float | None
    ) -> dict[str, Any]:
        """Send a record, and return the server's answer. Raises OutcomeUnknownError."""
        began, outcome = time.perf_counter(), "unanswered"
        try:
            answer = await self._connection.request(subject, data, headers, seconds)
            outcome = _outcome(answer.get("error"))
        finally:
            _WRITE_SECONDS[outcome].observe(time.perf_counter() - began)
        return answer

    async def last(self, job_id: str) -> Entry | None:
        """Return the newest record of a job as the leader has it; None for an unknown or unreadable job.

        Wait during an election. Raises OutcomeUnknownError when the engine does not answer.
        """
        return await self._connection.patiently(lambda: self._last(job_id))

    async def _last(self, job_id: str) -> Entry | None:
        message = await self._connection.get_message({"last_by_subj": f"j.{job_id}.>"})
        return None if message is None else self._entry(message)

    async def last_patiently(self, job_id: str) -> Entry | None:
        """Return the same as `last`. Retry while the engine is unreachable, without limit."""
        pauses = backoff.pauses()
        while True:
            with suppress(OutcomeUnknownError):
                return await self._last(job_id)
            await asyncio.sleep(next(pauses))

    async def history(self, job_id: str, after: int) -> AsyncIterator[Entry]:
        """Yield the job's messages after a sequence that the stream still keeps, in order."""

        async def following() -> Message | None:
            return await self._connection.get_message({"seq": after + 1, "next_by_subj": f"j.{job_id}.>"})

        while message := await self._connection.patiently(following):
            after = message.seq
            entry = self._entry(message)
            if entry:
                yield entry

    async def delete_earlier(self, entry: Entry) -> None:
        """Delete all other messages of a job; the server overwrites their bytes. Raises OutcomeUnknownError."""
        after, query = 0, f"j.{entry.record.id}.>"
        while message := await self._connection.get_message({"seq": after + 1, "next_by_subj": query}):
            after = message.seq
            if message.seq < entry.seq:
                await self._connection.delete_message(message.seq)

    async def write_check(self, name: str) -> None:
        """Write a small message that is no job. Raises NoRoomError, RefusedError, OutcomeUnknownError."""
        error = (await self._connection.request(f"k.{name}", b"", {"Nats-TTL": f"{_CHECK_TTL}s"})).get("error")
        if error:
            raise refusal(error)

    async def used_bytes(self) -> int:
        """Return the stream's size in bytes. Raises OutcomeUnknownError."""
        return await self._connection.used_bytes()

    async def last_sequence(self) -> int:
        """Return the stream's last sequence, also where its message has expired. Raises OutcomeUnknownError."""
        return await self._connection.last_sequence()

    async def newest(self) -> int:
        """Return the sequence of the newest record that the stream keeps; 0: none.

        Wait during an election. Raises OutcomeUnknownError.
        """
        return await self._connection.patiently(self._connection.newest)

    async def feed(self, after: int) -> AsyncIterator[Entry | int]:
        """Yield every record after a sequence, in order, without gaps and without end.

        A bare number means that every record up to this sequence has been seen.
        """
        async for item in self._connection.messages(after):
            yield item if isinstance(item, int) else self._entry(item) or item.seq

    def _entry(self, message: Message) -> Entry | None:
        """Return the job in a message. Log an unreadable message and return None."""
        record = self._decoder.decode(message.subject, message.data, read_record)
        return None if record is None else Entry(message.seq, record)


def _outcome(error: dict[str, Any] | None) -> str:
    """Return the outcome of a write, as its metric names it."""
    if error is None:
        return "written"
    return "conflict" if isinstance(refusal(error), StaleError) else "refused"
