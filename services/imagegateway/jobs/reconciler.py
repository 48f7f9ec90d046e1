"""Reconciler: resumes jobs that nothing attends, takes over jobs of expired owners, and frees unused slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.jobs import states
from imagegateway.jobs.stream_errors import StaleError
from imagegateway.platform import logs
from imagegateway.platform.clock import unix_millis

if TYPE_CHECKING:
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
        """Make `reconcile` do nothing."""
        self._stopped = True

    def reconcile(self) -> None:
        """Take over jobs of expired owners, expire waiting jobs, resume unattended ones, and free and grant slots.

        Crashes and lost messages are handled where they happen; this pass catches what those handlers miss. Called
        every few seconds.
        """
        if self._stopped:
            return
        now, running = unix_millis(), 0
        for entry in list(self._feed.live.values()):
            record = entry.record
            if self._steps.is_busy(record.id):
                continue
            if record.owner != self._membership.owner:
                if self._membership.is_expired(record.owner):
                    pause = running // BATCH * BATCH_SECONDS
                    self._steps.spawn(record.id, self._take_over(entry, pause))
                    running += record.state == states.RUNNING
            elif record.state in states.WAITING and record.deadline < now:
                self._worker.expire(entry)
            elif (not entry.ended or record.call_open) and not self._worker.is_attended(record.id):
                _log.warning("job_unattended", job_id=record.id, state=states.token(record.state))
                self._worker.resume(entry)
        for job_id in self._admission.holders():
            if not self._steps.is_busy(job_id):
                self._worker.recount(job_id)
        self._admission.grant_slots()  # no event reports a limit that was raised

    async def _take_over(self, entry: Entry, pause: float) -> None:
        """Take a job over from an expired owner. `pause`: delay in seconds before a running task is polled."""
        record = entry.copy()
        record.owner = self._membership.owner
        try:
            taken = await self._writer.advance(entry, record)
        except StaleError:
            return
        _log.info("job_taken_over", job_id=record.id, owner=entry.record.owner, state=states.token(record.state))
        if not record.call_open:  # else `Worker.on_change` stops the call
            self._worker.resume(taken, pause)
