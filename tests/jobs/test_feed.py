"""Job feed of a replica: own writes, stream, subscribers, restarts."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
from imagegateway.jobs import states
from imagegateway.jobs.feed import MAX_UNREAD, ClosingError, JobFeed, TooSlowError, public_type
from imagegateway.jobs.stream import Entry
from imagegateway.platform import ids
from imagegateway.platform.clock import unix_millis
from imagegateway.platform.supervision import Supervisor

from tests.jobs import records
from tests.jobs.index import inline_index
from tests.jobs.memory import StreamLog, memory_stream
from tests.jobs.server import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator


class FeedGate:
    """A gate that blocks only the feed."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, what: str) -> None:
        if what == "feed":
            await self.open.wait()


class FeedSetup:
    """A job feed over an in-memory stream that a test can block, and writes of another replica."""

    def __init__(self) -> None:
        self.log = StreamLog()
        self.gate = FeedGate()
        self.stream = memory_stream(self.log, self.gate)
        self.other = memory_stream(self.log)
        self.feed = JobFeed(self.stream, inline_index())
        self.seen: list[Entry] = []
        self.feed.add_listener(self.seen.append)

    async def own(self, entry: Entry | None, state: records.StateValue, job_id: str = "") -> Entry:
        """Write a record as this replica."""
        if entry is None:
            written = await self.stream.create(records.job(job_id=job_id, state=state))
        else:
            written = await self.stream.advance(entry, records.follow(entry, state))
        self.feed.apply_own_write(written)
        return written

    async def foreign(self, entry: Entry, state: records.StateValue) -> Entry:
        """Write a record as another replica."""
        return await self.other.advance(entry, records.follow(entry, state))

    async def seen_all(self) -> None:
        self.gate.open.set()
        async with asyncio.timeout(PATIENCE):
            await self.feed.wait_for(len(self.log.written))


@asynccontextmanager
async def setting() -> AsyncIterator[FeedSetup]:
    made, supervisor = FeedSetup(), Supervisor()
    await made.feed.start(supervisor)
    try:
        yield made
    finally:
        await supervisor.close()


async def collect(feed: JobFeed, job_id: str, after: int | None = None) -> list[Entry | None]:
    return [change async for change in feed.changes(job_id, after)]


def opened(feed: JobFeed, job_id: str, after: int | None) -> AsyncGenerator[Entry | None, None]:
    """Yield a subscription that the test ends early."""
    return cast("AsyncGenerator[Entry | None, None]", feed.changes(job_id, after))


def following(feed: JobFeed, job_id: str, after: int | None = None) -> asyncio.Task[list[Entry | None]]:
    return asyncio.create_task(collect(feed, job_id, after))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


# ---- own writes and the feed


async def test_own_write_is_applied_at_once_and_once() -> None:
    async with setting() as at:
        at.gate.open.clear()
        first = await at.own(None, states.QUEUED)
        second = await at.own(first, states.SUBMITTING)
        assert at.feed.live == {first.record.id: second}
        await at.seen_all()
        assert at.seen == [first, second]
        assert at.feed.live == {first.record.id: second}


async def test_older_changes_do_not_bring_a_job_back() -> None:
    async with setting() as at:
        at.gate.open.clear()
        entry = await at.own(None, states.QUEUED)
        for state in (states.SUBMITTING, states.RUNNING, states.COMPLETED):
            entry = await at.own(entry, state)
        assert not at.feed.live
        await at.seen_all()
        assert not at.feed.live
        assert [seen.seq for seen in at.seen] == [1, 2, 3, 4]


async def test_late_acknowledgement_does_not_bring_a_job_back() -> None:
    """The stream delivers the own write and a newer one of another replica before the acknowledgement."""
    async with setting() as at:
        first = await at.stream.create(records.job(state=states.SUBMITTING))
        cancelled = await at.foreign(first, states.CANCELLED)
        await at.seen_all()
        assert at.seen == [first, cancelled]
        at.feed.apply_own_write(first)
        assert at.seen == [first, cancelled]
        assert not at.feed.live


async def test_ended_jobs_leave_no_state() -> None:
    async with setting() as at:
        # The stream is slower than the acknowledgement, and faster; an own write is overwritten before its delivery.
        slow = await at.own(None, states.SUBMITTING)
        await at.seen_all()
        fast = await at.stream.create(records.job(state=states.SUBMITTING))
        await at.seen_all()
        at.feed.apply_own_write(fast)
        at.gate.open.clear()
        slow = await at.own(slow, states.RUNNING)
        slow = await at.foreign(slow, states.RUNNING)
        slow = await at.foreign(slow, states.COMPLETED)
        await at.own(fast, states.FAILED)
        await at.seen_all()
        assert not at.feed.live
        assert not at.feed._own_writes
        assert not at.feed._subscriptions


async def test_ended_job_is_held_while_its_webhook_is_due() -> None:
    async with setting() as at:
        first = await at.stream.create(records.job(state=states.SUBMITTING, webhook_url="https://a.example/"))
        record = records.follow(first, states.COMPLETED)
        record.webhook.next_at = unix_millis()
        due = await at.stream.advance(first, record)
        await at.seen_all()
        assert at.feed.live == {record.id: due}
        record = records.follow(due, states.COMPLETED)
        record.webhook.next_at = 0
        at.feed.apply_own_write(await at.stream.advance(due, record))
        assert not at.feed.live


async def test_failing_listener_does_not_stop_the_feed() -> None:
    async with setting() as at:

        def fail(entry: Entry) -> None:
            if entry.seq == 1:
                raise ZeroDivisionError

        at.feed.add_listener(fail)
        await at.other.create(records.job())
        second = await at.other.create(records.job())
        await at.seen_all()
        assert second.record.id in at.feed.live


# ---- subscribers


async def test_every_change_reaches_every_subscriber() -> None:
    async with setting() as at:
        entry = first = await at.own(None, states.QUEUED)
        streams = [following(at.feed, first.record.id) for _ in range(3)]
        await settle()
        wanted = [first]
        for state in (states.SUBMITTING, states.RUNNING, states.RUNNING, states.COMPLETED):
            entry = await at.own(entry, state)
            wanted.append(entry)
        for stream in streams:
            assert await asyncio.wait_for(stream, PATIENCE) == wanted
        assert not at.feed._subscriptions


async def test_subscriber_on_another_replica_gets_every_change() -> None:
    async with setting() as at:
        first = await at.other.create(records.job(state=states.SUBMITTING))
        stream = following(at.feed, first.record.id)
        await settle()
        running = await at.foreign(first, states.RUNNING)
        await at.seen_all()
        ended = await at.foreign(running, states.CANCELLED)
        assert await asyncio.wait_for(stream, PATIENCE) == [first, running, ended]


async def test_late_subscriber_gets_the_end() -> None:
    async with setting() as at:
        first = await at.own(None, states.SUBMITTING)
        ended = await at.own(first, states.FAILED)
        assert await collect(at.feed, first.record.id) == [ended]
        running = await at.own(None, states.SUBMITTING)
        running = await at.own(running, states.RUNNING)
        stream = following(at.feed, running.record.id)
        await settle()
        over = await at.own(running, states.COMPLETED)
        assert await asyncio.wait_for(stream, PATIENCE) == [running, over]


async def test_subscriber_resumes_after_an_event() -> None:
    async with setting() as at:
        entry = await at.own(None, states.QUEUED)
        past = [entry]
        for state in (states.SUBMITTING, states.RUNNING):
            entry = await at.own(entry, state)
            past.append(entry)
        # The feed is behind: subscribers get no change twice.
        at.gate.open.clear()
        streams = [following(at.feed, entry.record.id, after) for after in (0, *(item.seq for item in past))]
        await settle()
        past.append(await at.own(entry, states.COMPLETED))
        await at.seen_all()
        for index, stream in enumerate(streams):
            assert await asyncio.wait_for(stream, PATIENCE) == past[index:]


async def test_subscription_without_changes_yields_none_after_its_interval() -> None:
    async with setting() as at:
        first = await at.own(None, states.QUEUED)
        changes = at.feed.changes(first.record.id, None, quiet=0.0)
        assert await anext(changes) == first
        assert await anext(changes) is None
        assert await anext(changes) is None
        second = await at.own(first, states.CANCELLED)
        assert await anext(changes) == second
        assert [change async for change in changes] == []


async def test_slow_subscriber_is_dropped() -> None:
    async with setting() as at:
        entry = await at.own(None, states.SUBMITTING)
        changes = opened(at.feed, entry.record.id, None)
        assert await anext(changes) == entry
        with at.feed.subscribe(entry.record.id) as patient:
            for _ in range(MAX_UNREAD + 1):
                entry = await at.own(entry, states.RUNNING)
                assert (await patient.next()) == entry
            ended = await at.own(entry, states.COMPLETED)
            with at.feed.subscribe(entry.record.id) as slow:
                for _ in range(10 * MAX_UNREAD):
                    slow.push(ended)
                assert len(slow.unread) == 0
            assert await patient.next() == ended
        # The subscriber has read nothing since its first event.
        with at.feed.subscribe("other") as other:
            for _ in range(MAX_UNREAD):
                other.push(ended)
            assert await other.next() == ended
            other.push(ended)
            other.push(ended)
            with pytest.raises(TooSlowError):
                await other.next()
        await changes.aclose()


async def test_subscriber_that_reads_nothing_gets_a_typed_error() -> None:
    async with setting() as at:
        entry = await at.own(None, states.SUBMITTING)
        changes = at.feed.changes(entry.record.id, entry.seq)
        waiting = asyncio.ensure_future(anext(changes))
        await settle()
        entry = await at.own(entry, states.RUNNING)
        assert await waiting == entry
        for _ in range(MAX_UNREAD + 1):
            entry = await at.own(entry, states.RUNNING)
        with pytest.raises(TooSlowError):
            await anext(changes)
        # The subscriber resumes after its last event and gets the current state.
        again = opened(at.feed, entry.record.id, 2)
        assert await anext(again) == entry
        await again.aclose()


async def test_streams_end_with_the_replica() -> None:
    async with setting() as at:
        first = await at.own(None, states.SUBMITTING)
        stream = following(at.feed, first.record.id)
        waiting = asyncio.create_task(at.feed.ended(first.record.id, 600))
        await settle()
        second = await at.own(first, states.RUNNING)
        at.feed.end_streams()
        with pytest.raises(ClosingError):
            await asyncio.wait_for(stream, PATIENCE)
        assert second in at.feed.live.values()
        # A call that waits for the end gets more time.
        assert not waiting.done()
        at.feed.end_streams(patient=True)
        assert await asyncio.wait_for(waiting, PATIENCE) is None


async def test_unread_changes_are_read_before_the_stream_ends() -> None:
    async with setting() as at:
        first = await at.own(None, states.SUBMITTING)
        with at.feed.subscribe(first.record.id) as subscription:
            second = await at.own(first, states.RUNNING)
            at.feed.end_streams()
            assert await subscription.next() == second
            with pytest.raises(ClosingError):
                await subscription.next()


async def test_wait_for_an_end_returns_it_or_times_out() -> None:
    async with setting() as at:
        first = await at.own(None, states.SUBMITTING)
        assert await at.feed.ended(first.record.id, 0) is None
        assert await at.feed.ended(ids.job(), 0) is None
        waiting = asyncio.create_task(at.feed.ended(first.record.id, 600))
        await settle()
        ended = await at.own(await at.own(first, states.RUNNING), states.COMPLETED)
        assert await asyncio.wait_for(waiting, PATIENCE) == ended
        assert await at.feed.ended(first.record.id, 0) == ended


def test_public_event_type_follows_the_job_state() -> None:
    names = [public_type(Entry(1, records.job(state=state))) for state in sorted(states.PUBLIC)]
    assert names[:3] == ["job.queued", "job.running", "job.progress"]
    assert names[3:] == ["job.completed", "job.failed", "job.cancelled", "job.running"]
