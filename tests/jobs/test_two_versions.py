"""The last release's replica beside this version's: each finishes, lists, streams and cancels the other's jobs.

The provider server is the last release's, as in an upgrade: routers first.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs import states
from imagegateway.jobs.stream import JobStream
from imagegateway.platform.nats import connect

from tests.jobs.server import single
from tests.jobs.two_versions import Version, host, unpack
from tests.support.stack import eventually, short_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.platform.settings import Settings

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def last_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("last-release"))


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


def record(settings: Settings, job_id: str) -> JobRecord:
    """Return a job's newest record."""

    async def read() -> JobRecord:
        client = await connect(settings, "test")
        try:
            entry = await (await JobStream.open(client, 1)).last(job_id)
        finally:
            await client.close()
        assert entry
        return entry.record

    return asyncio.run(read())


@pytest.mark.parametrize(
    ("first", "second"),
    [(Version.LAST, Version.PRESENT), (Version.PRESENT, Version.LAST)],
    ids=["upgrade", "downgrade"],
)
def test_jobs_of_one_version_go_on_in_the_other(
    tmp_path: Path, folder: Path, last_release: Path, first: Version, second: Version
) -> None:
    with (
        single(tmp_path) as nats,
        host(folder, last_release, nats.settings.nats_address(), local_concurrency="1") as both,
    ):
        both.providers()
        maker, other = both.router(first, 0), both.router(second, 1)
        streamed, cancelled, queued = maker.submit(1.0), maker.submit(30.0), maker.submit(0.1)
        eventually(lambda: {streamed, cancelled, queued} <= other.listed(), 30, "the other version lists the jobs")

        assert other.statuses(streamed)[-1] == "completed"
        assert other.cancel(cancelled).status == "cancelled"
        eventually(lambda: maker.job(cancelled).status == "cancelled", 30, "the maker sees the cancel")
        assert other.ended(queued).status == "completed"
        assert other.job(streamed).result_url

        held, taken_over = maker.submit(3.0), maker.submit(0.1)
        eventually(lambda: other.job(held).status == "running", 30, "one job runs, the other waits")
        maker.stop()
        assert other.ended(held).status == "completed"
        assert other.ended(taken_over).status == "completed"
        ended = record(nats.settings, taken_over)
        assert ended.state == states.COMPLETED
        assert ended.HasField("retention") == (first is Version.PRESENT)

        replaced = both.router(first, 0)
        assert replaced.job(taken_over).status == "completed"
        assert {streamed, held, taken_over} <= replaced.listed()
