"""Pages of the job list: as many jobs as were asked for, unless their records are large."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from imagegateway.jobs.list_index import JobIndex, Projection, Query, row_of
from imagegateway.jobs.stream import Entry
from imagegateway.router.job_list import JobList

from tests.jobs import records
from tests.jobs.index import InlineExecutor

if TYPE_CHECKING:
    from imagegateway.router.job_list import JobPage

KIB = 1024
COUNT = 35


class Jobs:
    """A tenant's jobs, in stream and list, and how many are read at once."""

    def __init__(self, prompt_bytes: int) -> None:
        self._entries: dict[str, Entry] = {}
        projection = Projection(Path(":memory:"))
        for seq in range(1, COUNT + 1):
            record = records.job()
            record.created_at = seq
            record.task.prompt = "x" * prompt_bytes
            self._entries[record.id] = entry = Entry(seq, record)
            projection.write([row_of(entry)], seq)
        index = JobIndex(projection, time.time, InlineExecutor())
        self._list = JobList(feed=self, lister=index, reader=self)

    async def catch_up(self) -> None:
        """Nothing is new."""

    async def last(self, job_id: str) -> Entry | None:
        return self._entries.get(job_id)

    def lose(self, count: int) -> None:
        """Let the newest records end."""
        for job_id in list(self._entries)[-count:]:
            del self._entries[job_id]

    async def page(self, size: int, token: str = "") -> JobPage:
        return await self._list.page(Query("acme", size=size, token=token))


async def test_page_of_large_records_ends_early_and_the_next_ones_have_the_rest() -> None:
    jobs = Jobs(128 * KIB)
    seen: list[int] = []
    token = ""
    while True:
        page = await jobs.page(100, token)
        assert sum(entry.record.ByteSize() for entry in page.entries) < 2 * KIB * KIB
        seen += [entry.record.created_at for entry in page.entries]
        token = page.next_token
        if not token:
            break
    assert seen == list(range(COUNT, 0, -1))


async def test_page_of_small_records_has_the_size_that_was_asked_for() -> None:
    jobs = Jobs(10)
    first = await jobs.page(30)
    assert len(first.entries) == 30
    assert len((await jobs.page(30, first.next_token)).entries) == COUNT - 30


async def test_page_leaves_out_records_that_are_gone() -> None:
    jobs = Jobs(10)
    jobs.lose(12)
    assert len((await jobs.page(20)).entries) == 8
