"""Background steps by job: a job is busy while one of its steps runs.

Log lines and spans of a step are the job's, whatever started the step.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from imagegateway.jobs import job_trace

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.background_tasks import BackgroundTasks


class JobSteps:
    """The running steps of each job."""

    def __init__(self, tasks: BackgroundTasks) -> None:
        self._tasks = tasks
        self._running: defaultdict[str, set[Coroutine[Any, Any, object]]] = defaultdict(set)

    @property
    def idle(self) -> bool:
        """True if no step of any job runs."""
        return not self._running

    def spawn(self, record: JobRecord, step: Coroutine[Any, Any, object]) -> None:
        """Start a step of a job in the background."""
        self._running[record.id].add(step)
        task = self._tasks.spawn(self._run(record, step))
        job_id = record.id
        task.add_done_callback(lambda _task: self._end(job_id, step))  # the task may be cancelled before it runs

    def is_busy(self, job_id: str) -> bool:
        """Return whether a step of a job runs."""
        return job_id in self._running

    async def _run(self, record: JobRecord, step: Coroutine[Any, Any, object]) -> None:
        job_trace.enter(record)
        job_id = record.id
        del record  # a step may outlive many records of its job
        try:
            await step
        finally:
            self._end(job_id, step)

    def _end(self, job_id: str, step: Coroutine[Any, Any, object]) -> None:
        """Count a step no more, and close one that never ran. Idempotent."""
        step.close()
        if step in self._running.get(job_id, ()):
            self._running[job_id].discard(step)
            if not self._running[job_id]:
                del self._running[job_id]
