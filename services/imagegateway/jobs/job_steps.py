"""Background steps by job: a job is busy while one of its steps runs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from imagegateway.jobs.background_tasks import BackgroundTasks


class JobSteps:
    """Counts the running steps of each job."""

    def __init__(self, tasks: BackgroundTasks) -> None:
        self._tasks = tasks
        self._running: Counter[str] = Counter()

    @property
    def idle(self) -> bool:
        """True if no step of any job runs."""
        return not self._running

    def spawn(self, job_id: str, step: Coroutine[Any, Any, object]) -> None:
        """Start a step of a job in the background."""
        self._running[job_id] += 1
        self._tasks.spawn(self._run(job_id, step))

    def is_busy(self, job_id: str) -> bool:
        """Return whether a step of a job runs."""
        return job_id in self._running

    async def _run(self, job_id: str, step: Coroutine[Any, Any, object]) -> None:
        try:
            await step
        finally:
            self._running[job_id] -= 1
            if not self._running[job_id]:
                del self._running[job_id]
