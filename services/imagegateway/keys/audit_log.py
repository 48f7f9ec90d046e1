"""Audit log: administrative calls and changes of keys, as JSON log lines and durable events in a JetStream bucket.

An event has one entry in the bucket, under its id. A change writes the entry twice: first with the outcome
`started`, and again with its outcome. An event that still says `started` is of a process that ended in between.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from imagegateway.admin.v1 import audit_event_pb2 as pb
from imagegateway.platform import ids, logs, patience
from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.nats import bucket, repeated_reads
from imagegateway.platform.shared_documents import ByteDocuments
from nats.js.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from imagegateway.platform.settings import Settings
    from nats.aio.client import Client
    from nats.js import JetStreamContext
    from nats.js.kv import KeyValue

BUCKET: Final = "audit"
STARTED: Final = "started"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
GATEWAY_ACTOR: Final = "gateway"
"""Actor type of the start of a process."""
_STREAM: Final = f"KV_{BUCKET}"
_DAY: Final = 86_400
_CONCURRENT_READS: Final = 50
_MAX_READS: Final = 2000
"""Most entries that one page reads."""
_log = logs.get(__name__)


class UnchangedError(Exception):
    """A change was not made, as another process has made it."""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Page of events, newest first. `position` continues after the page; 0: the last page."""

    events: list[pb.AuditEvent]
    position: int


class AuditLog:
    """Writer and reader of audit events. `clock` returns Unix seconds."""

    def __init__(
        self,
        js: JetStreamContext,
        kv: KeyValue,
        clock: Callable[[], float] = time.time,
        outage: asyncio.Event | None = None,
    ) -> None:
        """`outage` as in SharedDocuments."""
        self._js = js
        self._entries = ByteDocuments(kv, outage)
        self._outage = outage
        self._clock = clock

    @classmethod
    async def open(cls, client: Client, settings: Settings, outage: asyncio.Event | None = None) -> AuditLog:
        """Open the bucket, and adjust its retention. Raises nats.errors.Error without a connection to JetStream."""
        js = client.jetstream()
        retention = float(settings.audit_days * _DAY)
        kv = await bucket(js, BUCKET, settings.nats_replicas, ttl=retention)
        config = (await js.stream_info(_STREAM)).config
        if config.max_age != retention:
            await js.update_stream(config.evolve(max_age=retention))
        return cls(repeated_reads(client), kv, outage=outage)

    def event(self, actor: pb.AuditActor, method: str, target: str = "", tenant: str = "") -> pb.AuditEvent:
        """Return a new event of the present time."""
        return pb.AuditEvent(
            object="audit_event",
            id=ids.audit_event(),
            created_at=int(self._clock()),
            actor=actor,
            method=method,
            target=target,
            tenant=tenant,
            outcome=STARTED,
        )

    @asynccontextmanager
    async def change(self, event: pb.AuditEvent) -> AsyncIterator[None]:
        """Write an event before and after the change that the body makes.

        The body may set the event's target, tenant and error. Raises UnavailableError before the body: nothing has
        changed. A failure to write the outcome is logged only, since the change is made. UnchangedError ends the body
        and withdraws the event.
        """
        await self.write(event)
        try:
            yield
        except UnchangedError:
            await self._withdraw(event)
            return
        except BaseException:
            await self._close(event, FAILED)
            raise
        await self._close(event, SUCCEEDED)

    async def _close(self, event: pb.AuditEvent, outcome: str) -> None:
        event.outcome = outcome
        try:
            await self.write(event)
        except UnavailableError as error:
            _log.error("audit_outcome_not_written", audit_id=event.id, error=str(error))

    async def _withdraw(self, event: pb.AuditEvent) -> None:
        try:
            await self._entries.change(event.id, lambda _: (None, None))
        except UnavailableError as error:
            _log.error("audit_outcome_not_written", audit_id=event.id, error=str(error))

    async def write(self, event: pb.AuditEvent) -> None:
        """Write an event, or replace its earlier entry, durably. Log an event that has its outcome.

        Waits for an election. Raises UnavailableError.
        """
        if event.outcome != STARTED:
            _log.info("audit_event", **_log_fields(event))
        entry = event.SerializeToString()
        try:
            await self._entries.change(event.id, lambda _: (entry, None))
        except UnavailableError as error:
            raise UnavailableError("the audit log can't be written") from error

    async def page(self, wanted: Callable[[pb.AuditEvent], bool], size: int, position: int = 0) -> AuditPage:
        """Return at most `size` events that `wanted` accepts, newest first, from a position on; 0: the newest.

        A page with a position may be shorter. Waits for an election. Raises UnavailableError.
        """
        return await patience.read(
            lambda: self._page(wanted, size, position), self._outage, "the audit log can't be read"
        )

    async def _page(self, wanted: Callable[[pb.AuditEvent], bool], size: int, position: int) -> AuditPage:
        state = (await self._js.stream_info(_STREAM)).state
        seq = min(position or state.last_seq, state.last_seq)
        end = max(state.first_seq, seq - _MAX_READS + 1)
        found: list[pb.AuditEvent] = []
        while seq >= end:
            batch = range(seq, max(end, seq - _CONCURRENT_READS + 1) - 1, -1)
            for event in await asyncio.gather(*map(self._read, batch)):
                if event is not None and wanted(event):
                    found.append(event)
                    if len(found) == size:
                        return AuditPage(found, seq - 1 if seq > state.first_seq else 0)
                seq -= 1
        return AuditPage(found, seq if seq >= state.first_seq else 0)

    async def _read(self, seq: int) -> pb.AuditEvent | None:
        """Return the event at a sequence. None: replaced by its newer entry, expired, withdrawn, or unreadable."""
        try:
            message = await self._js.get_msg(_STREAM, seq=seq)
        except NotFoundError:
            return None
        if not message.data:
            return None
        try:
            return pb.AuditEvent.FromString(message.data)
        except DecodeError:
            _log.error("stored_value_skipped", place=BUCKET, key=message.subject)
            return None


def _log_fields(event: pb.AuditEvent) -> Mapping[str, object]:
    """Return an event's fields for its log line, those of the actor with the prefix `actor_`."""
    fields = MessageToDict(event, preserving_proto_field_name=True)
    del fields["object"]
    actor = fields.pop("actor", {})
    return {"audit_id": fields.pop("id"), **fields, **{f"actor_{name}": value for name, value in actor.items()}}
