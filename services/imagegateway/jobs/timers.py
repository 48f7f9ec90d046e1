"""Things that are due some time: a heap and one coroutine, however many there are."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Timers:
    """Calls `fire` with a job's id when its time has come. What is due stands in the jobs' records as well: after a
    crash the heap is built anew.
    """

    def __init__(self, fire: Callable[[str], None], clock: Callable[[], float] = time.time) -> None:
        """`clock` gives Unix seconds."""
        self._fire = fire
        self._clock = clock
        self._heap: list[tuple[float, str]] = []
        self._pending: Counter[str] = Counter()
        self._changed = asyncio.Event()

    def __contains__(self, job_id: str) -> bool:
        """Return whether a job has a time set that has not come yet."""
        return job_id in self._pending

    def set(self, at: float, job_id: str) -> None:
        """Fire at a time, in Unix seconds; an earlier setting for the same job stays."""
        heapq.heappush(self._heap, (at, job_id))
        self._pending[job_id] += 1
        self._changed.set()

    async def run(self) -> None:
        """Fire what is due, for ever."""
        while True:
            now = self._clock()
            while self._heap and self._heap[0][0] <= now:
                _, job_id = heapq.heappop(self._heap)
                self._pending[job_id] -= 1
                if not self._pending[job_id]:
                    del self._pending[job_id]
                self._fire(job_id)
            pause = self._heap[0][0] - now if self._heap else None
            self._changed.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue
