"""Timer heap served by a single coroutine."""

from __future__ import annotations

import asyncio
import heapq
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
        self._pending: SegmentedDict[int] = SegmentedDict()
        """Number of timers of each job."""
        self._changed = asyncio.Event()

    def __contains__(self, job_id: str) -> bool:
        """Return whether a job has a pending timer."""
        return job_id in self._pending

    @property
    def due(self) -> list[float]:
        """Times of all pending timers in Unix seconds, earliest first."""
        return sorted(at for at, _ in self._heap)

    def set(self, at: float, job_id: str) -> None:
        """Add a timer at a time in Unix seconds. Earlier timers of the same job stay."""
        heapq.heappush(self._heap, (at, job_id))
        self._pending[job_id] = self._pending.get(job_id, 0) + 1
        self._changed.set()

    async def run(self, on_due: Callable[[str], None]) -> None:
        """Serve the timers without end: call `on_due` with the id of each job that is due."""
        while True:
            now = self._clock()
            while self._heap and self._heap[0][0] <= now:
                _, job_id = heapq.heappop(self._heap)
                self._pending[job_id] -= 1
                if not self._pending[job_id]:
                    del self._pending[job_id]
                on_due(job_id)
            pause = self._heap[0][0] - now if self._heap else None
            self._changed.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue
