"""Feed of the job stream on a real nats-server: every record once and in order."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from imagegateway.jobs import states
from imagegateway.jobs.stream_connection import NAME
from imagegateway.jobs.stream_errors import OutcomeUnknownError
from imagegateway.platform import ids
from imagegateway.platform.errors import GatewayError

from tests.jobs import records
from tests.jobs.feeds import Feed
from tests.jobs.server import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagegateway.jobs.idempotency import IdempotencyKeys
    from imagegateway.jobs.stream import Entry, JobStream
    from imagegateway.platform.nats_client import Client, Receiver

    from tests.jobs.server import Nats


def _at_least(written: list[Entry], count: int) -> bool:
    return len(written) >= count


@contextmanager
def _losing_messages(client: Client) -> Iterator[list[bytes]]:
    """Lose the deliveries of the feed's consumer. Yield their data."""
    lost: list[bytes] = []
    receivers = dict(client._receivers)
    for number, receiver in receivers.items():

        def lose(
            subject: bytes, reply: bytes, data: bytes, headers: bytes | None, receiver: Receiver = receiver
        ) -> None:
            if reply.startswith(b"$JS.ACK."):
                lost.append(data)
            else:
                receiver(subject, reply, data, headers)

        client._receivers[number] = lose
    yield lost
    client._receivers.update(receivers)


async def test_feed_has_all_records_in_order(stream: JobStream, idempotency: IdempotencyKeys) -> None:
    entries = [await stream.create(records.job(state=states.SUBMITTING)) for _ in range(20)]
    async with Feed(stream, 0) as early, Feed(stream, entries[9].seq) as late:
        await idempotency.claim("acme", "key", ids.job(), "digest")
        entries += [await stream.advance(entry, records.follow(entry, states.FAILED)) for entry in entries]
        await early.until(entries[-1].seq)
        await late.until(entries[-1].seq)
        assert early.entries == entries
        assert late.entries == entries[10:]


async def test_empty_feed_yields_no_record(stream: JobStream) -> None:
    async with Feed(stream, 0) as feed:
        entry = await stream.create(records.job())
        await feed.until(entry.seq)
        assert feed.entries == [entry]


async def test_feed_position_never_passes_its_records(stream: JobStream) -> None:
    """A bare number comes after all records up to that sequence."""
    for _ in range(10):
        entries = [await stream.create(records.job()) for _ in range(3)]
        async with Feed(stream, entries[0].seq) as feed:
            await feed.until(entries[-1].seq)
            handed = 0
            for item in feed.items:
                if isinstance(item, int):
                    assert item <= max(handed, entries[0].seq)
                else:
                    handed = item.seq
            assert feed.entries == entries[1:]


async def test_feed_survives_a_restart_of_its_server(nats: Nats, stream: JobStream) -> None:
    """After `kill -9` at any time, every record arrives once and in order."""
    written: list[Entry] = []
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            try:
                written.append(await stream.create(records.job()))
            except (GatewayError, OutcomeUnknownError):
                await asyncio.sleep(0.02)

    async with Feed(stream, 0) as feed:
        writer = asyncio.create_task(write())
        for _ in range(2):
            goal = len(written) + 50
            await until(partial(_at_least, written, goal))
            nats.kill()
            await until(lambda: not stream.connected)
            nats.start()
        goal = len(written) + 50
        await until(partial(_at_least, written, goal))
        stop.set()
        await writer
        await feed.until(written[-1].seq)
        seqs = [entry.seq for entry in feed.entries]
        assert seqs == sorted(set(seqs))
        assert {entry.seq for entry in written} <= set(seqs)
        # The feed has all records, also of writes without acknowledgement.
        assert len(seqs) == await stream.last_sequence()


async def test_feed_goes_on_after_the_loss_of_its_consumer(stream: JobStream, client: Client) -> None:
    js = client.jetstream()
    entries = [await stream.create(records.job()) for _ in range(5)]
    async with Feed(stream, entries[-2].seq) as feed:
        await feed.until(entries[-1].seq)
        for consumer in await js.consumers_info(NAME):
            await js.delete_consumer(NAME, consumer.name)
        entries.append(await stream.create(records.job()))
        await feed.until(entries[-1].seq)
        assert feed.entries == entries[-2:]


async def test_feed_brings_a_message_that_was_lost_on_the_way(stream: JobStream, client: Client) -> None:
    entries = [await stream.create(records.job())]
    async with Feed(stream, 0) as feed:
        await feed.until(entries[-1].seq)
        with _losing_messages(client) as lost:
            entries.append(await stream.create(records.job()))
            await until(lambda: lost)
        entries += [await stream.create(records.job()) for _ in range(3)]
        await feed.until(entries[-1].seq)
        assert feed.entries == entries
