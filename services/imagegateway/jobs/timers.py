"""Timers served by a single coroutine.

A heap holds the timers of the seconds that have begun. All others wait in dictionaries without objects that a garbage
collection visits: in one heap, 300,000 timers delayed each full collection by 8 ms.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from typing import TYPE_CHECKING

from imagegateway.jobs.segmented_dict import SegmentedDict

if TYPE_CHECKING:
    from collections.abc import Callable


class Timers:
    """Timers of jobs. Job records hold the times as well, so a restarted process rebuilds the heap."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock` returns Unix seconds."""
        self._clock = clock
        self._heap: list[tuple[float, str]] = []
        """Timers of the seconds that have begun."""
        self._begun = 0
        """Newest second that has begun."""
        self._later: dict[int, dict[float, str]] = {}
        """All other timers by their second, each a job by its time."""
        self._seconds: list[int] = []
        """Heap of the seconds with timers in `_later`."""
        self._pending: SegmentedDict[int] = SegmentedDict()
        """Number of timers of each job."""
        self._changed = asyncio.Event()

    def __contains__(self, job_id: str) -> bool:
        """Return whether a job has a pending timer."""
        return job_id in self._pending

    @property
    def due(self) -> list[float]:
        """Times of all pending timers in Unix seconds, earliest first."""
        return sorted([*(at for at, _ in self._heap), *(at for timers in self._later.values() for at in timers)])

    def set(self, at: float, job_id: str) -> None:
        """Add a timer at a time in Unix seconds. Earlier timers of the same job stay."""
        second = int(at)
        if second <= self._begun:
            heapq.heappush(self._heap, (at, job_id))
        else:
            if second not in self._later:
                self._later[second] = {}
                heapq.heappush(self._seconds, second)
            timers = self._later[second]
            while at in timers:
                at = math.nextafter(at, math.inf)
            timers[at] = job_id
        self._pending[job_id] = self._pending.get(job_id, 0) + 1
        self._changed.set()

    async def run(self, on_due: Callable[[str], None]) -> None:
        """Serve the timers without end: call `on_due` with the id of each job that is due."""
        while True:
            now = self._clock()
            self._begin(int(now))
            while self._heap and self._heap[0][0] <= now:
                _, job_id = heapq.heappop(self._heap)
                self._pending[job_id] -= 1
                if not self._pending[job_id]:
                    del self._pending[job_id]
                on_due(job_id)
            next_times = [at for at, _ in self._heap[:1]] + self._seconds[:1]
            pause = min(next_times) - now if next_times else None
            self._changed.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _begin(self, second: int) -> None:
        """Move the timers of all seconds up to this one to the heap."""
        self._begun = second
        while self._seconds and self._seconds[0] <= second:
            for timer in self._later.pop(heapq.heappop(self._seconds)).items():
                heapq.heappush(self._heap, timer)
