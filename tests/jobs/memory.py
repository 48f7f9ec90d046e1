"""In-memory job stream: the server's answers, one request after the other."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs.stream import Entry, JobStream
from imagegateway.jobs.stream_connection import NAME, SUBJECTS, StreamConnection
from imagegateway.jobs.stream_errors import OutcomeUnknownError
from imagegateway.jobs.stream_messages import Message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

_READ = "$JS.API.STREAM.MSG.GET."


async def _at_once(_what: str) -> None:
    """No gate."""


@dataclass(slots=True)
class StreamLog:
    """An in-memory stream: the last message of each subject, and the history of all messages."""

    kept: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    written: list[tuple[int, str, bytes]] = field(default_factory=list)
    grown: asyncio.Condition = field(default_factory=asyncio.Condition)
    down: bool = False

    def ask(self, subject: str, data: bytes, headers: dict[str, str] | None) -> dict[str, Any]:
        """Return the server's response."""
        if subject.startswith(_READ):
            return self._read(json.loads(data))
        assert headers is not None
        scope = headers.get("Nats-Expected-Last-Subject-Sequence-Subject", subject)
        last = max((seq for name, (seq, _) in self.kept.items() if _fits(name, scope)), default=0)
        if last != int(headers["Nats-Expected-Last-Subject-Sequence"]):
            return {"error": {"code": 400, "err_code": 10071, "description": f"wrong last sequence: {last}"}}
        seq = len(self.written) + 1
        self.kept[subject] = (seq, data)
        self.written.append((seq, subject, data))
        return {"stream": "JOBS", "seq": seq}

    def _read(self, query: dict[str, Any]) -> dict[str, Any]:
        pattern = query.get("last_by_subj") or query["next_by_subj"]
        found = [(seq, name, data) for name, (seq, data) in self.kept.items() if _fits(name, pattern)]
        if "last_by_subj" in query:
            hit = max(found, default=None)
        else:
            hit = min((message for message in found if message[0] >= query["seq"]), default=None)
        if hit is None:
            return {"error": {"code": 404, "err_code": 10037, "description": "no message found"}}
        seq, name, data = hit
        return {"message": {"subject": name, "seq": seq, "data": base64.b64encode(data).decode()}}

    def records(self, job_id: str) -> list[Entry]:
        """Return all records ever written of a job."""
        return [
            Entry(seq, JobRecord.FromString(data))
            for seq, subject, data in self.written
            if subject.startswith(f"j.{job_id}.")
        ]


def _fits(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith(">") else name == pattern


class MemoryConnection(StreamConnection):
    """StreamConnection over a `StreamLog`.

    `gate` is awaited before the server gets a request, before its answer arrives, and before the consumer brings a
    record.
    """

    def __init__(self, log: StreamLog, gate: Callable[[str], Awaitable[None]] = _at_once) -> None:
        self.log = log
        self._gate = gate
        self._name, self._subjects = NAME, SUBJECTS
        self._outage = self.outage = asyncio.Event()

    @property
    def connected(self) -> bool:
        return not self.log.down

    @property
    def max_payload(self) -> int:
        return 1 << 20

    async def last_sequence(self) -> int:
        return len(self.log.written)

    async def messages(self, after: int) -> AsyncIterator[Message | int]:
        while True:
            async with self.log.grown:
                while len(self.log.written) <= after:
                    await self.log.grown.wait()
            seq, subject, data = self.log.written[after]
            after = seq
            # Records that were overwritten meanwhile are never delivered.
            if subject.startswith("j."):
                await self._gate("feed")
                if self.log.kept[subject][0] == seq:
                    yield Message(subject, seq, data)

    async def request(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None, seconds: float | None = None
    ) -> dict[str, Any]:
        if not self.connected:
            raise OutcomeUnknownError
        await self._gate("request")
        answer = self.log.ask(subject, data, headers)
        async with self.log.grown:
            self.log.grown.notify_all()
        await self._gate("answer")
        return answer


def memory_stream(log: StreamLog, gate: Callable[[str], Awaitable[None]] = _at_once) -> JobStream:
    """Return a job stream over a log."""
    return JobStream(MemoryConnection(log, gate))
