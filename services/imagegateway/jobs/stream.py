"""The jobs' stream in NATS JetStream: compare-and-set writes, leader reads, history, one ordered feed.

Subjects: `j.<job id>.<family>.<state>` hold records, `k.<digest>` hold idempotency keys. A write names the last
sequence that it has seen of its job; the server refuses it when there is a newer one, so of two writers one wins
and no state goes backwards. Every write is on disk before it is acknowledged (`sync_interval: always`).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import nats.errors
from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import record_size, states
from imagegateway.jobs.stream_messages import Message, read_claim, read_record, subject_of
from imagegateway.jobs.stream_setup import make_stream
from imagegateway.jobs.transitions import now
from imagegateway.platform import logs
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.setting_source import SettingError
from imagegateway.platform.stored_values import Decoder
from imagegateway.v1.error_reason_pb2 import ErrorReason
from nats.js import api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nats.aio.client import Client

NAME: Final = "JOBS"
RECORD_SECONDS: Final = 30 * 86_400
"""How long an ended job's record is kept."""
STEP_SECONDS: Final = 3 * 86_400
"""How long the messages of a job's earlier states are kept; longer than any job may run."""
CLAIM_SECONDS: Final = 86_400
"""How long an idempotency key is kept."""

_WRONG_SEQUENCE: Final = 10071
_NOT_FOUND: Final = 10037
_NOT_NOW: Final = 500
"""Refusals from this code on are about the server's state (no leader, no room), lower ones about the message."""
_NEVER: Final = 2**62
"""A sequence that no stream reaches."""
_REQUEST_SECONDS: Final = 2.0
_SUBMIT_TRIES: Final = 3
_SUBMIT_SECONDS: Final = 1.0
"""Patience of each try: the caller waits, and a server without room does not answer at all."""
_QUIET_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_CHECK_TTL: Final = 60
"""Seconds that the message of a write check is kept."""
_log = logs.get(__name__)


class StaleError(Exception):
    """Somebody else has changed the job since it was read."""


class OutcomeUnknownError(Exception):
    """The server did not answer: the write may be there or not."""


class NoRoomError(OutcomeUnknownError):
    """The server does not take the write now, for lack of room or of a leader: nothing is written."""


class RefusedError(Exception):
    """The server refuses the write, and will refuse each repetition."""


class RecordTooLargeError(RefusedError):
    """The record has more bytes than a message of this server may have."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A job's record, and the sequence of the message that holds it."""

    seq: int
    record: JobRecord

    @property
    def ended(self) -> bool:
        return self.record.state in states.TERMINAL

    @property
    def event_seq(self) -> int:
        """The sequence that names this change to subscribers: what is written of a webhook changes no end."""
        return self.record.ended_seq or self.seq

    def copy(self) -> JobRecord:
        """The record, to be changed and written next."""
        record = JobRecord()
        record.CopyFrom(self.record)
        if self.ended:
            record.ended_seq = self.event_seq
        return record


@dataclass(frozen=True, slots=True)
class Claim:
    """What an idempotency key stands for."""

    job_id: str
    request_digest: str
    mine: bool
    """True when this call made the claim."""


def unavailable() -> GatewayError:
    """The job engine can't be reached."""
    return GatewayError(
        ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
        "The gateway can't keep jobs at the moment; try again.",
        retry_after=2,
    )


def _refusal(error: dict[str, Any]) -> NoRoomError | RefusedError:
    return NoRoomError() if error.get("code", 0) >= _NOT_NOW else RefusedError(error.get("description"))


class JobStream:
    """Reads and writes job records."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._js = client.jetstream()
        self._decoder = Decoder(NAME)

    @classmethod
    async def open(cls, client: Client, replicas: int, max_bytes: int = -1) -> JobStream:
        """Make the stream, or bring an existing one up to date; any replica may, at any time.

        `max_bytes`: the most that it may hold; -1: all that the server has.
        """
        stream = cls(client)
        await make_stream(stream._js, NAME, replicas, max_bytes)
        await stream._check_permissions()
        return stream

    async def _check_permissions(self) -> None:
        """Raises SettingError when this process may not write jobs: such a write is answered by nothing at all."""
        # An expectation that nothing meets: the server refuses the message, and so has received it.
        headers = {"Nats-Expected-Last-Sequence": str(_NEVER)}
        for subject in ("j.permission.none.none", "k.permission"):
            for _ in range(_SUBMIT_TRIES):
                with suppress(OutcomeUnknownError):
                    await self._ask(subject, b"", headers)
                    break
            else:
                raise SettingError(
                    f"NATS does not answer a message on {subject}: let the gateway's user "
                    "(IMAGEGATEWAY_NATS_CREDENTIALS) publish on j.> and k.>"
                )

    @property
    def connected(self) -> bool:
        return self._client.is_connected

    @property
    def max_record_bytes(self) -> int:
        """Largest record that the server takes."""
        return self._client.max_payload - record_size.HEADERS_BYTES

    async def create(self, record: JobRecord) -> Entry:
        """Write a new job. Raises GatewayError when it is too large, and when the engine refuses it or can't be
        reached; OutcomeUnknownError when the engine went away during the write, StaleError when the id is taken.
        """
        limit = self.max_record_bytes - record_size.GROWTH_BYTES
        if record.ByteSize() > limit:
            raise GatewayError(
                ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE,
                f"The request's fields take {record.ByteSize()} bytes, and this gateway keeps at most {limit}: "
                "shorten them. The operator can raise max_payload of the NATS server.",
            )
        if not self.connected:
            raise unavailable()
        unknown = False
        for _ in range(_SUBMIT_TRIES):
            try:
                return await self._write(record, None, known=unknown, seconds=_SUBMIT_SECONDS)
            except RefusedError:
                if unknown:  # of the earlier attempts
                    raise OutcomeUnknownError from None
                raise unavailable() from None
            except NoRoomError:
                continue
            except OutcomeUnknownError:
                unknown = True
        if unknown:
            raise OutcomeUnknownError
        raise unavailable()

    async def advance(self, entry: Entry, record: JobRecord) -> Entry:
        """Write a job's next state, and go on trying for as long as the engine is away or has no room.

        The record of a job that ends is shortened where it is too large. Raises StaleError when somebody else has
        changed the job, RefusedError when the server will never take the write.
        """
        if record.state in states.TERMINAL and record.ByteSize() > self.max_record_bytes:
            _log.error("job_record_trimmed", job_id=record.id, bytes=record.ByteSize(), limit=self.max_record_bytes)
            record_size.trim(record, self.max_record_bytes)
        tries = 0
        while True:
            try:
                return await self._write(record, entry, known=tries > 0)
            except OutcomeUnknownError:
                if not tries:
                    _log.warning("job_write_unanswered", job_id=record.id)
                tries += 1
                await asyncio.sleep(min(_AGAIN_SECONDS * tries, _LONGEST_PAUSE))

    async def _write(
        self, record: JobRecord, before: Entry | None, *, known: bool, seconds: float = _REQUEST_SECONDS
    ) -> Entry:
        """Make one attempt. `known`: an earlier attempt with this nonce may have been stored."""
        states.check(before.record.state if before else JobRecord.STATE_UNSPECIFIED, record.state)
        if not known:
            record.nonce = secrets.token_hex(8)
            record.updated_at = now()
        ended = record.state in states.TERMINAL
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(before.seq if before else 0),
            "Nats-Expected-Last-Subject-Sequence-Subject": f"j.{record.id}.>",
            "Nats-TTL": f"{RECORD_SECONDS if ended else STEP_SECONDS}s",
        }
        data = record.SerializeToString()
        if len(data) > self.max_record_bytes:
            raise RecordTooLargeError(f"{len(data)} bytes, and the server takes {self.max_record_bytes}")
        answer = await self._ask(subject_of(record), data, headers, seconds)
        error = answer.get("error")
        if error is None:
            return Entry(int(answer["seq"]), record)
        if error.get("err_code") != _WRONG_SEQUENCE:
            _log.error("job_write_refused", job_id=record.id, error=error.get("description"))
            raise _refusal(error)
        if known:
            # The refusal may be about our own earlier attempt.
            found = await self.last(record.id)
            if found and found.record.nonce == record.nonce:
                return found
        raise StaleError

    async def last(self, job_id: str) -> Entry | None:
        """The job as it is, by a read of the leader; None when there is none, or none that can be read.

        Raises OutcomeUnknownError when the engine does not answer.
        """
        return await self._read({"last_by_subj": f"j.{job_id}.>"})

    async def last_patiently(self, job_id: str) -> Entry | None:
        """As `last`, asked for as long as the engine is away."""
        while True:
            with suppress(OutcomeUnknownError):
                return await self.last(job_id)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def history(self, job_id: str, after: int) -> AsyncIterator[Entry]:
        """The job's messages that are still kept and newer than a sequence, in order."""
        while message := await self._message({"seq": after + 1, "next_by_subj": f"j.{job_id}.>"}):
            after = message.seq
            entry = self._entry(message)
            if entry:
                yield entry

    async def claim(self, tenant: str, key: str, job_id: str, request_digest: str) -> Claim:
        """Bind an idempotency key to a job id and a request, or find what it is bound to.

        Raises GatewayError when the engine can't be reached.
        """
        subject = "k." + hashlib.sha256(f"{tenant}\0{key}".encode()).hexdigest()
        value = json.dumps({"job_id": job_id, "request": request_digest}).encode()
        headers = {"Nats-Expected-Last-Subject-Sequence": "0", "Nats-TTL": f"{CLAIM_SECONDS}s"}
        try:
            answer = await self._ask(subject, value, headers)
            if "error" not in answer:
                return Claim(job_id, request_digest, mine=True)
            message = await self._message({"last_by_subj": subject})
            if message is None:
                raise unavailable()
            held = self._decoder.decode(subject, message.data, read_claim)
            if held is None:  # nobody can honour it any more
                headers["Nats-Expected-Last-Subject-Sequence"] = str(message.seq)
                if "error" in await self._ask(subject, value, headers):
                    raise unavailable()
                return Claim(job_id, request_digest, mine=True)
        except OutcomeUnknownError:
            raise unavailable() from None
        return Claim(*held, mine=held[0] == job_id)

    async def write_check(self, name: str) -> None:
        """Write a small message that is no job. Raises NoRoomError, RefusedError, OutcomeUnknownError."""
        error = (await self._ask(f"k.{name}", b"", {"Nats-TTL": f"{_CHECK_TTL}s"})).get("error")
        if error:
            raise _refusal(error)

    async def used_bytes(self) -> int:
        """Bytes that the stream takes up. Raises OutcomeUnknownError."""
        return (await self._state()).bytes

    async def last_sequence(self) -> int:
        """The stream's newest sequence, whether or not its message is still kept. Raises OutcomeUnknownError."""
        return (await self._state()).last_seq

    async def _state(self) -> api.StreamState:
        try:
            return (await self._js.stream_info(NAME)).state
        except (nats.errors.Error, OSError) as error:
            raise OutcomeUnknownError from error

    async def newest(self) -> int:
        """Sequence of the newest record that is still kept; 0 when there is none. Raises OutcomeUnknownError."""
        message = await self._message({"last_by_subj": "j.>"})
        return message.seq if message else 0

    async def feed(self, after: int) -> AsyncIterator[Entry | int]:
        """Every record newer than a sequence, in order, without gaps, for ever; a bare number says that all up to
        it has been seen.

        Survives the server: a subscription that has gone quiet is checked against the stream, and made anew.
        """
        while True:
            with suppress(nats.errors.Error, OutcomeUnknownError, OSError):
                async for item in self._subscription(after):
                    after = item if isinstance(item, int) else item.seq
                    yield item
            await asyncio.sleep(0.2)

    async def _subscription(self, after: int) -> AsyncIterator[Entry | int]:
        goal = await self.newest()
        subscription = await self._js.subscribe(
            "j.>",
            stream=NAME,
            ordered_consumer=True,
            config=api.ConsumerConfig(deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=after + 1),
        )
        try:
            while True:
                try:
                    message = await subscription.next_msg(timeout=_QUIET_SECONDS)
                except nats.errors.TimeoutError:
                    if await self.newest() > after:
                        return
                    # The consumer may sit at a follower that lags: its "nothing pending" proves nothing, the
                    # leader's word does.
                    after = max(after, goal)
                    yield after
                    continue
                seq = message.metadata.sequence.stream
                if seq > after:  # else the client has begun the consumer anew, from the first record
                    after = seq
                    yield self._entry(Message(message.subject, seq, message.data)) or seq
        finally:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def _read(self, query: dict[str, Any]) -> Entry | None:
        message = await self._message(query)
        return None if message is None else self._entry(message)

    def _entry(self, message: Message) -> Entry | None:
        """The job in a message; None, and a log line, for one that can't be read."""
        record = self._decoder.decode(message.subject, message.data, read_record)
        return None if record is None else Entry(message.seq, record)

    async def _message(self, query: dict[str, Any]) -> Message | None:
        answer = await self._ask(f"$JS.API.STREAM.MSG.GET.{NAME}", json.dumps(query).encode(), None)
        error = answer.get("error")
        if error is not None:
            if error.get("err_code") == _NOT_FOUND or error.get("code") == 404:
                return None
            raise OutcomeUnknownError
        message = answer["message"]
        return Message(message["subject"], message["seq"], base64.b64decode(message.get("data", "")))

    async def _ask(
        self, subject: str, data: bytes, headers: dict[str, str] | None, seconds: float = _REQUEST_SECONDS
    ) -> dict[str, Any]:
        if not self.connected:
            raise OutcomeUnknownError
        try:
            message = await self._client.request(subject, data, timeout=seconds, headers=headers)
        except (nats.errors.Error, OSError) as error:
            raise OutcomeUnknownError from error
        answer: dict[str, Any] = json.loads(message.data)
        return answer
