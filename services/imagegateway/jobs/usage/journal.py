"""Usage journal: the stream in which usage outlives the records of its jobs.

A durable consumer of the job stream hands each record of an ended job to one replica. That writes the entries of many
jobs as one message, then acknowledges the records. After a crash the server hands them out again. An entry that comes
twice counts once, because the index keeps the newest entry of each job. So no crash loses or doubles usage.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import nats.errors
from imagegateway.job.v1.usage_entry_pb2 import UsageBatch
from imagegateway.jobs import stream_connection
from imagegateway.jobs.pull_consumer import PullConsumer
from imagegateway.jobs.stream import Entry
from imagegateway.jobs.stream_connection import StreamConnection
from imagegateway.jobs.stream_errors import OutcomeUnknownError
from imagegateway.jobs.stream_setup import check_permissions
from imagegateway.jobs.usage.entries import entry_of, read_batch, read_ended
from imagegateway.platform import logs
from imagegateway.platform.stored_values import Decoder
from nats.js import api
from nats.js.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from imagegateway.job.v1.usage_entry_pb2 import UsageEntry
    from imagegateway.jobs.pull_consumer import Delivery
    from imagegateway.jobs.usage.index import UsageIndex
    from imagegateway.platform.nats_client import Client
    from imagegateway.platform.supervision import Supervisor
    from nats.js import JetStreamContext

NAME: Final = "USAGE"
SUBJECTS: Final = "u.>"
CONSUMER: Final = "usage"
_ENDED: Final = ("completed", "failed", "cancelled", "erased")
_BATCH: Final = 100
"""Most records of one message; each may have 320 KiB while it is read."""
_BATCH_BYTES: Final = 256 * 1024
"""Size of entries after which another message begins."""
_COLLECT_SECONDS: Final = 1.0
"""Seconds for which records of one message are collected: each message costs a flush, and the server hands out many
records for little more than one.
"""
ACKNOWLEDGE_SECONDS: Final = 10.0
"""Seconds after which the server hands a record out again that no replica has acknowledged."""
_RETRY_SECONDS: Final = 1.0
_MAX_UNACKNOWLEDGED: Final = 10_000
_log = logs.get(__name__)


class UsageJournal:
    """Writer of the stream, shared by all replicas."""

    def __init__(self, client: Client, index: UsageIndex) -> None:
        self._js = client.jetstream()
        self._connection = StreamConnection(client, NAME, SUBJECTS)
        self._index = index
        self._records = Decoder(stream_connection.NAME)
        self._batches = Decoder(NAME)
        self._consumer = PullConsumer(client, stream_connection.NAME, CONSUMER)
        self._hastened = asyncio.Event()

    @classmethod
    async def open(cls, client: Client, replicas: int, index: UsageIndex) -> UsageJournal:
        """Create the stream and its consumer, or update them. Raises nats.errors.Error."""
        js = client.jetstream()
        stream = api.StreamConfig(
            name=NAME, subjects=[SUBJECTS], num_replicas=replicas, allow_msg_ttl=True, allow_direct=False
        )
        try:
            await js.update_stream(stream)
        except NotFoundError:
            await js.add_stream(stream)
        await check_permissions(StreamConnection(client, NAME, SUBJECTS), "u.permission")
        await _add_consumer(js)
        return cls(client, index)

    def start(self, supervisor: Supervisor) -> None:
        """Write the usage of ended jobs in the background."""
        supervisor.spawn("usage journal", self._write_forever())

    def hasten(self) -> None:
        """Write the usage of the jobs that have ended at once: a report waits."""
        self._hastened.set()

    async def newest(self) -> int:
        """Return the sequence of the newest message; 0: none. Raises OutcomeUnknownError."""
        return await self._connection.newest()

    async def is_written(self, seq: int) -> bool:
        """Return whether the usage of all records up to a sequence is in the stream. Raises OutcomeUnknownError."""
        try:
            state = await self._js.consumer_info(stream_connection.NAME, CONSUMER)
        except (nats.errors.Error, OSError) as error:
            raise OutcomeUnknownError from error
        floor = state.ack_floor.stream_seq if state.ack_floor else 0
        return floor >= seq or not (state.num_pending or state.num_ack_pending)

    async def _write_forever(self) -> None:
        while True:
            self._hastened.clear()
            try:
                deliveries = await self._consumer.fetch(_BATCH)
                await self._write_deliveries(deliveries)
            except (nats.errors.Error, OutcomeUnknownError, OSError) as error:
                # The server hands unacknowledged records out again.
                _log.warning("usage_not_written", error=type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)
                with suppress(nats.errors.Error, OSError):
                    await _add_consumer(self._js)
                continue
            if len(deliveries) < _BATCH:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._hastened.wait(), _COLLECT_SECONDS)

    async def _write_deliveries(self, deliveries: list[Delivery]) -> None:
        # Only the newest record of a job: an erased one must not bring an earlier one's user and metadata.
        known = (job for job in map(self._job, deliveries) if job)
        jobs = {job.record.id: job for job in sorted(known, key=lambda job: job.seq)}.values()
        if erased := {job.record.id for job in jobs if job.record.erased_at}:
            await self._remove(erased)
        await self._write(entry_of(job) for job in jobs)
        for delivery in deliveries:
            await self._consumer.acknowledge(delivery)

    def _job(self, delivery: Delivery) -> Entry | None:
        message = delivery.message
        record = self._records.decode(message.subject, message.data, read_ended)
        return None if record is None else Entry(message.seq, record)

    async def _write(self, entries: Iterable[UsageEntry]) -> None:
        """Write entries, those of one retention together. Raises OutcomeUnknownError."""
        now = time.time()
        batches: defaultdict[int, list[UsageEntry]] = defaultdict(list)
        for entry in entries:
            days = (entry.expires_at - entry.ended_at // 1000) // 86_400
            batches[days].append(entry)
        for days, batch in batches.items():
            ttl = int(max(entry.expires_at for entry in batch) - now)
            for part in _parts(batch):
                if ttl > 0:
                    await self._publish(f"u.{days}", UsageBatch(entries=part), ttl)

    async def _publish(self, subject: str, batch: UsageBatch, ttl: int) -> None:
        answer = await self._connection.request(subject, batch.SerializeToString(), {"Nats-TTL": f"{ttl}s"})
        if error := answer.get("error"):
            _log.error("usage_refused", error=error.get("description"))
            raise OutcomeUnknownError

    async def _remove(self, job_ids: Collection[str]) -> None:
        """Remove the entries of erased jobs from their messages: they hold users and metadata.

        The messages are written again without them, and their bytes are overwritten. Raises OutcomeUnknownError.
        """
        await self._index.wait_for(await self._connection.newest())
        for seq in await self._index.messages_of(job_ids):
            message = await self._connection.get_message({"seq": seq})
            if message is None:
                continue
            batch = self._batches.decode(message.subject, message.data, read_batch)
            if batch is not None:
                await self._write(entry for entry in batch.entries if entry.job_id not in job_ids)
            await self._connection.delete_message(seq)


async def _add_consumer(js: JetStreamContext) -> None:
    """Create the consumer, or update it. A new one gets all records again. Raises nats.errors.Error."""
    consumer = api.ConsumerConfig(
        durable_name=CONSUMER,
        filter_subjects=[f"j.*.*.{state}" for state in _ENDED],
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=ACKNOWLEDGE_SECONDS,
        max_ack_pending=_MAX_UNACKNOWLEDGED,
    )
    await js.add_consumer(stream_connection.NAME, consumer)


def _parts(entries: list[UsageEntry]) -> Iterator[list[UsageEntry]]:
    """Yield the entries in parts of at most `_BATCH_BYTES`, or of one entry."""
    part: list[UsageEntry] = []
    size = 0
    for entry in entries:
        if part and size + entry.ByteSize() > _BATCH_BYTES:
            yield part
            part, size = [], 0
        part.append(entry)
        size += entry.ByteSize()
    if part:
        yield part
