"""Reads a feed into a list."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from imagegateway.jobs.stream import Entry
from imagegateway.platform.supervision import cancel

from tests.jobs.server import PATIENCE

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from imagegateway.jobs.stream import JobStream


class Feed:
    """`items` is all that has come: entries and bare numbers."""

    def __init__(self, stream: JobStream, after: int) -> None:
        self.items: list[Entry | int] = []
        self._stream = stream
        self._after = after
        self._grown = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    @property
    def entries(self) -> list[Entry]:
        return [item for item in self.items if isinstance(item, Entry)]

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task
        await cancel(self._task)

    async def until(self, seq: int) -> None:
        """Wait until the record with this sequence has come."""
        async with asyncio.timeout(PATIENCE), self._grown:
            await self._grown.wait_for(lambda: any(entry.seq >= seq for entry in self.entries[-1:]))

    async def _read(self) -> None:
        async for item in self._stream.feed(self._after):
            async with self._grown:
                self.items.append(item)
                self._grown.notify_all()
