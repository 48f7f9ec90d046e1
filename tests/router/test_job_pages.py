"""Pages of the job list: the requested number of jobs, or fewer large ones."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from imagegateway.jobs.list_file import JobListFile, row_of
from imagegateway.jobs.list_index import JobListIndex
from imagegateway.jobs.list_query import Query
from imagegateway.jobs.stream import Entry
from imagegateway.router.job_list import JobList

from tests.jobs import records
from tests.jobs.index import InlineExecutor

if TYPE_CHECKING:
    from imagegateway.router.job_list import JobPage

KIB = 1024
COUNT = 35


class Jobs:
    """Fake of stream and list index with a tenant's jobs."""

    def __init__(self, prompt_bytes: int) -> None:
        self._entries: dict[str, Entry] = {}
        file = JobListFile(Path(":memory:"))
        for seq in range(1, COUNT + 1):
            record = records.job()
            record.created_at = seq
            record.task.prompt = "x" * prompt_bytes
            self._entries[record.id] = entry = Entry(seq, record)
            file.write([row_of(entry)], seq)
        index = JobListIndex(file, time.time, InlineExecutor())
        self._list = JobList(feed=self, lister=index, reader=self)

    async def catch_up(self) -> None:
        """Do nothing: the list is current."""

    async def last(self, job_id: str) -> Entry | None:
        return self._entries.get(job_id)

    def lose(self, count: int) -> None:
        """Remove the newest records."""
        for job_id in list(self._entries)[-count:]:
            del self._entries[job_id]

    async def page(self, size: int, token: str = "") -> JobPage:
        return await self._list.page(Query("acme", size=size, token=token))


async def test_page_of_large_records_ends_early_and_continues() -> None:
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


async def test_page_of_small_records_has_the_requested_size() -> None:
    jobs = Jobs(10)
    first = await jobs.page(30)
    assert len(first.entries) == 30
    assert len((await jobs.page(30, first.next_token)).entries) == COUNT - 30


async def test_page_omits_removed_records() -> None:
    jobs = Jobs(10)
    jobs.lose(12)
    assert len((await jobs.page(20)).entries) == 8
