"""Poll schedule: timers of running provider tasks. A task that waits costs no coroutine."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

from imagegateway.jobs.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.provider.v1 import provider_service_pb2 as provider

RETRY_SECONDS: Final = 1.0
"""Delay after a poll without an answer."""
_JITTER: Final = 0.1


class PollSchedule:
    """Times at which the provider tasks of jobs are due for a poll."""

    def __init__(self) -> None:
        self._timers = Timers()

    def __contains__(self, job_id: str) -> bool:
        """Return whether a poll of a job is scheduled."""
        return job_id in self._timers

    @property
    def due(self) -> list[float]:
        """Times of all scheduled polls in Unix seconds, earliest first."""
        return self._timers.due

    def schedule(self, job_id: str, state: provider.TaskState) -> None:
        """Schedule the next poll of a running task after the delay that its state names."""
        self.schedule_after(job_id, state.running.poll_after.ToTimedelta().total_seconds())

    def retry(self, job_id: str) -> None:
        """Schedule a poll after one without an answer."""
        self.schedule_after(job_id, RETRY_SECONDS)

    def schedule_after(self, job_id: str, seconds: float) -> None:
        """Schedule a poll after a delay, plus up to 10 %: jobs started together must not be polled together."""
        jitter = random.uniform(1, 1 + _JITTER)  # noqa: S311  only spreads load
        self._timers.set(time.time() + seconds * jitter, job_id)

    async def run(self, on_due: Callable[[str], None]) -> None:
        """Serve the schedule without end: call `on_due` with the id of each job that is due."""
        await self._timers.run(on_due)
