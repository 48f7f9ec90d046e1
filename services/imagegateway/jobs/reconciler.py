"""Reconciler: resumes jobs that nothing attends, takes over jobs of expired owners, and frees unused slots."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from imagegateway.jobs import job_trace, states
from imagegateway.jobs.stream_errors import StaleError
from imagegateway.platform import logs
from imagegateway.platform.clock import unix_millis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from imagegateway.jobs.admission import AdmissionControl
    from imagegateway.jobs.feed import JobFeed
    from imagegateway.jobs.job_steps import JobSteps
    from imagegateway.jobs.job_writer import JobWriter
    from imagegateway.jobs.membership import Membership
    from imagegateway.jobs.stream import Entry
    from imagegateway.jobs.worker import Worker

BATCH: Final = 50
BATCH_SECONDS: Final = 0.25
"""After a takeover, running tasks are polled in batches at this interval."""
_T = TypeVar("_T")
_log = logs.get(__name__)


class Reconciler:
    """Compares the records of all jobs with the work of this replica."""

    def __init__(
        self,
        *,
        feed: JobFeed,
        writer: JobWriter,
        membership: Membership,
        admission: AdmissionControl,
        worker: Worker,
        steps: JobSteps,
    ) -> None:
        self._feed = feed
        self._writer = writer
        self._membership = membership
        self._admission = admission
        self._worker = worker
        self._steps = steps
        self._stopped = False

    def stop(self) -> None:
        """End a pass of `reconcile` after the jobs of this turn, and make later ones do nothing."""
        self._stopped = True

    async def reconcile(self) -> None:
        """Take over jobs of expired owners, expire waiting jobs, resume unattended ones, and free and grant slots.

        Crashes and lost messages are handled where they happen; this pass catches what those handlers miss. Called
        every few seconds.
        """
        now, owner, running = unix_millis(), self._membership.owner, 0
        async for jobs in self._parts(self._feed.live.summaries()):
            for job_id, job in jobs:
                if self._steps.is_busy(job_id):
                    continue
                if job.owner != owner:
                    if self._membership.is_expired(job.owner):
                        entry = self._feed.live[job_id]
                        pause = running // BATCH * BATCH_SECONDS
                        self._steps.spawn(entry.record, self._take_over(entry, pause))
                        running += job.state == states.RUNNING
                elif job.state in states.WAITING and job.deadline < now:
                    self._worker.expire(self._feed.live[job_id])
                elif (not job.ended or job.call_open) and not self._worker.is_attended(job_id):
                    _log.warning("job_unattended", job_id=job_id, state=states.token(job.state))
                    self._worker.resume(self._feed.live[job_id])
        async for holders in self._parts(self._admission.holders()):
            for job_id, seq in holders:
                if seq != self._feed.live.sequence(job_id) and not self._steps.is_busy(job_id):
                    self._worker.recount(job_id)
        if not self._stopped:
            self._admission.grant_slots()  # no event reports a limit that was raised

    async def _parts(self, parts: Iterator[_T]) -> AsyncIterator[_T]:
        """Yield each part until `stop`. Other work runs after each."""
        for part in parts:
            if self._stopped:
                return
            yield part
            await asyncio.sleep(0)

    async def _take_over(self, entry: Entry, pause: float) -> None:
        """Take a job over from an expired owner. `pause`: delay in seconds before a running task is polled."""
        record = entry.copy()
        record.owner = self._membership.owner
        try:
            taken = await self._writer.advance(entry, record)
        except StaleError:
            return
        _log.info("job_taken_over", job_id=record.id, owner=entry.record.owner, state=states.token(record.state))
        job_trace.record_takeover(record, previous=entry.record.owner)
        if not record.call_open:  # else `Worker.on_change` stops the call
            self._worker.resume(taken, pause)
