"""Start of a job feed: from its list file, without one, and after an outage of the server."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs import states, stream_connection
from imagegateway.jobs.feed import JobFeed
from imagegateway.jobs.list_index import JobListIndex
from imagegateway.jobs.stream import Entry, JobStream
from imagegateway.platform.nats import connect
from imagegateway.platform.supervision import Supervisor

from tests.jobs import records
from tests.jobs.index import inline_index
from tests.jobs.server import PATIENCE, single, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.jobs.server import Nats


@dataclass(slots=True)
class FeedRun:
    """A feed from its start to its stop, over a file or in memory."""

    feed: JobFeed
    index: JobListIndex
    supervisor: Supervisor = field(default_factory=Supervisor)

    @classmethod
    async def open(cls, stream: JobStream, path: Path | None = None) -> FeedRun:
        index = await JobListIndex.open(path, time.time) if path else inline_index()
        return cls(JobFeed(stream, index), index)

    async def start(self) -> None:
        await self.feed.start(self.supervisor)

    async def close(self) -> None:
        await self.supervisor.close()
        await self.index.close()


async def collect(feed: JobFeed, job_id: str, into: list[Entry | None]) -> None:
    async for change in feed.changes(job_id, None):
        into.append(change)  # noqa: PERF401  the test reads the list meanwhile


async def test_restart_resumes_from_the_list_index(nats: Nats, stream: JobStream) -> None:
    path = nats.settings.data_dir / "jobs-0.sqlite"
    run = await FeedRun.open(stream, path)
    feed = run.feed
    await run.start()
    ended = await stream.create(records.job(state=states.SUBMITTING))
    ended = await stream.advance(ended, records.follow(ended, states.COMPLETED))
    left = await stream.create(records.job())
    await feed.catch_up()
    assert feed.live == {left.record.id: left}
    await run.close()
    # Changes made while the replica is down.
    moved = await stream.advance(left, records.follow(left, states.SUBMITTING))
    new = await stream.create(records.job())
    gone = await stream.create(records.job())
    gone = await stream.advance(gone, records.follow(gone, states.CANCELLED))
    run = await FeedRun.open(stream, path)
    feed = run.feed
    await run.start()
    assert feed.live == {moved.record.id: moved, new.record.id: new}
    await run.close()
    # Without its file the feed has the same jobs.
    run = await FeedRun.open(stream, nats.settings.data_dir / "another.sqlite")
    feed = run.feed
    await run.start()
    assert feed.live == {moved.record.id: moved, new.record.id: new}
    await run.close()


async def test_start_on_an_empty_stream(stream: JobStream) -> None:
    run = await FeedRun.open(stream)
    feed = run.feed
    await run.start()
    await feed.catch_up()
    assert not feed.live
    await run.close()


async def test_stream_that_lost_records_is_refused(nats: Nats, stream: JobStream, tmp_path: Path) -> None:
    path = tmp_path / "jobs-0.sqlite"
    run = await FeedRun.open(stream, path)
    feed = run.feed
    await run.start()
    for _ in range(5):
        await stream.create(records.job())
    await feed.catch_up()
    await run.close()
    with single(tmp_path / "older") as other:
        client = await connect(other.settings, "test")
        older = await JobStream.open(client, 1)
        for count in range(5):
            run = await FeedRun.open(older, path)
            with pytest.raises(RuntimeError, match=rf"ends at {count}, but 5 was seen"):
                await run.start()
            await run.close()
            await older.create(records.job())
        await client.close()


async def test_feed_survives_a_restart_of_its_server(
    nats: Nats, stream: JobStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_connection, "IDLE_SECONDS", 0.3)
    run = await FeedRun.open(stream)
    feed = run.feed
    await run.start()
    first = await stream.create(records.job(state=states.SUBMITTING))
    changes: list[Entry | None] = []
    follower = asyncio.create_task(collect(feed, first.record.id, changes))
    await until(lambda: changes)
    nats.kill()
    await until(lambda: not stream.connected)
    nats.start()
    running = await stream.advance(first, records.follow(first, states.RUNNING))
    ended = await stream.advance(running, records.follow(running, states.COMPLETED))
    await asyncio.wait_for(follower, PATIENCE)
    assert changes == [first, running, ended]
    await run.close()
