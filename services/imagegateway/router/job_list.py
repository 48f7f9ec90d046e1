"""Job list: pages of a tenant's jobs, newest first."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.jobs.list_query import page_token
from imagegateway.router.job_errors import engine_errors

if TYPE_CHECKING:
    from imagegateway.jobs.list_query import Page, Query
    from imagegateway.jobs.stream import Entry
    from imagegateway.router.ports import FeedSync, JobLister, JobReader

_PAGE_BYTES: Final = 1024 * 1024
"""Size of records after which a page ends early."""
_CONCURRENT_READS: Final = 10


@dataclass(frozen=True, slots=True)
class JobPage:
    """One page of jobs, and the token of the next page (empty: none)."""

    entries: list[Entry]
    next_token: str


class JobList:
    """List of a tenant's jobs, in pages."""

    def __init__(self, *, feed: FeedSync, lister: JobLister, reader: JobReader) -> None:
        self._feed = feed
        self._lister = lister
        self._reader = reader

    async def page(self, query: Query) -> JobPage:
        """Return one page, newest first, each job as the stream has it. Raises GatewayError."""
        with engine_errors():
            await self._feed.catch_up()
            return await self._read(await self._lister.page(query))

    async def _read(self, page: Page) -> JobPage:
        """Read jobs until they are `_PAGE_BYTES` large; the next page has the rest."""
        entries: list[Entry] = []
        for start in range(0, len(page.ids), _CONCURRENT_READS):
            batch = page.ids[start : start + _CONCURRENT_READS]
            found = await asyncio.gather(*(self._reader.last(job_id) for job_id in batch))
            entries += [entry for entry in found if entry]
            size = sum(entry.record.ByteSize() for entry in entries)
            if size > _PAGE_BYTES and start + _CONCURRENT_READS < len(page.ids):
                last = entries[-1].record
                return JobPage(entries, page_token(last.created_at, last.id))
        return JobPage(entries, page.next_token)
