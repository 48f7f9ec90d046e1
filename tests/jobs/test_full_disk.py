"""Full disk: explained refusals, a complete job list, and recovery without an operator."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs import states, stream_connection
from imagegateway.jobs.list_file import JobListFile, row_of
from imagegateway.jobs.list_index import JobListIndex
from imagegateway.jobs.list_query import Query
from imagegateway.jobs.stream import Entry, JobStream
from imagegateway.jobs.stream_check import FULL_SHARE, StreamCheck
from imagegateway.jobs.stream_errors import OutcomeUnknownError
from imagegateway.platform.errors import GatewayError, UnavailableError
from imagegateway.platform.nats import connect
from imagegateway.platform.supervision import BackgroundTaskError, Supervisor
from imagegateway.stack.nats_watch import RESTART_INTERVAL_SECONDS, NatsWatch

from tests.jobs import records
from tests.jobs.index import InlineExecutor
from tests.jobs.server import PATIENCE, Nats, single, until
from tests.support.small_disk import SmallDisk, mounted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

LAST_BYTES = 64 * 1024
"""More than one page: a server may still fill its last page on a full disk."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "disk", 96) as found:
        yield found


@pytest.fixture
def small_nats(small_disk: SmallDisk) -> Iterator[Nats]:
    with single(small_disk.root / "data") as server:
        yield server


@asynccontextmanager
async def opened(server: Nats, max_bytes: int = -1) -> AsyncIterator[JobStream]:
    client = await connect(server.settings, "test")
    try:
        yield await JobStream.open(client, 1, max_bytes)
    finally:
        await client.close()


async def until_stuck(log: Path) -> None:
    await until(lambda: "critical write error" in log.read_text().lower())


def entry(seq: int, job_id: str = "") -> Entry:
    return Entry(seq, records.job(job_id=job_id))


async def listed(index: JobListIndex) -> int:
    return len((await index.page(Query("acme", size=100))).ids)


@pytest.mark.processes
async def test_job_list_on_a_full_disk_keeps_its_position_and_catches_up(small_disk: SmallDisk) -> None:
    index = JobListIndex(JobListFile(small_disk.root / "jobs.sqlite"), time.time, InlineExecutor())
    index.add(1, entry(1))
    assert await listed(index) == 1
    small_disk.fill()
    for seq in range(2, 1000):
        index.add(seq, entry(seq))
    with pytest.raises(UnavailableError, match=r"^the job list has no room$"):
        await index.check()
    with pytest.raises(GatewayError) as caught:
        await listed(index)
    assert caught.value.meaning.http == 503
    with sqlite3.connect(small_disk.root / "jobs.sqlite") as reader:
        assert reader.execute("select seq from position").fetchone() == (1,)
    reader.close()
    small_disk.empty()
    await index.check()
    await index.close()
    kept = JobListFile(small_disk.root / "jobs.sqlite")
    assert kept.position == 999
    assert len(kept.unfinished()) == 999
    kept.close()


def test_damaged_job_list_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"no database at all" * 1000)
    projection = JobListFile(path)
    assert projection.position == 0
    projection.write([row_of(entry(7))], 7)
    projection.close()
    assert JobListFile(path).position == 7


async def test_job_list_damaged_while_it_is_used_ends_the_process_and_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    projection = JobListFile(path)
    projection.write([row_of(entry(seq)) for seq in range(1, 200)], 199)
    projection.close()
    database = sqlite3.connect(path)
    (page,) = database.execute("select rootpage from sqlite_master where name = 'newest'").fetchone()
    database.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    index = JobListIndex(JobListFile(path), time.time, InlineExecutor())
    supervisor = Supervisor()
    index.start(supervisor)
    with pytest.raises(GatewayError):
        await listed(index)
    with pytest.raises(BackgroundTaskError, match="JobListDamagedError"):
        await supervisor.run(asyncio.sleep(30))
    await supervisor.close()
    await index.close()
    assert JobListFile(path).position == 0


@pytest.mark.processes
async def test_stream_check_refuses_before_the_disk_is_full(small_disk: SmallDisk, small_nats: Nats) -> None:
    async with opened(small_nats) as stream:
        check = StreamCheck(stream, 1 << 40, small_nats.settings.data_dir)
        await check.check()
        small_disk.fill(free=1 << 20)
        with pytest.raises(UnavailableError, match=r"^the job store has no room$"):
            await check.check()
        await stream.create(records.job())  # a job admitted before


@pytest.mark.processes
async def test_server_whose_disk_is_full_is_found_silent(
    small_disk: SmallDisk, small_nats: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_connection, "PATIENCE_SECONDS", 1.0)
    async with opened(small_nats) as stream:
        check = StreamCheck(stream, 1 << 40, None)  # as for an external server
        small_disk.fill()

        async def until_full() -> None:
            for _ in range(LAST_BYTES // 64):
                await check.check()

        with pytest.raises(UnavailableError, match=r"^the job store does not answer$"):
            await until_full()
        began = time.monotonic()
        with pytest.raises(OutcomeUnknownError):
            await stream.create(records.job())
        assert time.monotonic() - began < 10


@pytest.mark.processes
async def test_stuck_server_is_restarted_once_its_disk_has_room(small_disk: SmallDisk, small_nats: Nats) -> None:
    restarts = 0

    def restart() -> None:
        nonlocal restarts
        restarts += 1
        small_nats.kill()
        small_nats.start()

    found = small_nats.settings
    now = 0.0
    watch = NatsWatch(found.run_dir / "nats.log", found.data_dir, restart, lambda: now)
    async with opened(small_nats) as stream:
        kept = await stream.create(records.job())
        small_disk.fill()
        with suppress(OutcomeUnknownError, GatewayError):
            while True:
                await stream.create(records.job())
        await until_stuck(found.run_dir / "nats.log")
        await watch.check()
        assert restarts == 0, "the disk is full"
        small_disk.empty()
        await watch.check()
        assert restarts == 1
        async with asyncio.timeout(PATIENCE):
            while not stream.connected:  # noqa: ASYNC110  the client's connection has no event
                await asyncio.sleep(0.01)
        await stream.advance(kept, records.follow(kept, states.SUBMITTING))
        await watch.check()
        now += RESTART_INTERVAL_SECONDS
        await watch.check()
        assert restarts == 1


async def test_disk_that_goes_on_failing_restarts_the_server_rarely(tmp_path: Path) -> None:
    log = tmp_path / "nats.log"
    log.write_text("[ERR] JetStream stream '$G > JOBS' critical write error: of an earlier life\n")
    restarts: list[float] = []
    now = 0.0
    watch = NatsWatch(log, tmp_path, lambda: restarts.append(now), lambda: now)
    await watch.check()
    assert restarts == []
    for second in range(100):
        now = float(second)
        with log.open("a") as file:
            file.write("[ERR] JetStream failed to store a msg on stream '$G > KV_KEYS': input/output error\n")
        await watch.check()
    assert restarts == [0.0, 30.0, 60.0, 90.0]


async def test_stream_near_its_limit_is_not_ready_and_takes_the_next_states(nats: Nats) -> None:
    limit = 1 << 20
    async with opened(nats, limit) as stream:
        check = StreamCheck(stream, limit, None)
        large = records.job()
        large.task.prompt = "x" * int(limit * FULL_SHARE)
        await check.check()
        first = await stream.create(records.job())
        await stream.create(large)
        with pytest.raises(UnavailableError, match=r"^the job store is full$"):
            await check.check()
        await stream.advance(first, records.follow(first, states.SUBMITTING))
        large.id = records.job().id
        with pytest.raises(GatewayError, match="can't keep jobs"):
            await stream.create(large)


async def test_stream_of_a_server_with_less_room_than_its_limit_is_made(nats: Nats) -> None:
    async with opened(nats, 1 << 50) as stream:
        await stream.create(records.job())
