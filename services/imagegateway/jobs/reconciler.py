"""Reconciler: sees that somebody goes on with every job, and that no slot is held for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.jobs import states, transitions
from imagegateway.jobs.stream import StaleError
from imagegateway.platform import logs

if TYPE_CHECKING:
    from imagegateway.jobs.admission import AdmissionControl
    from imagegateway.jobs.feed import JobFeed
    from imagegateway.jobs.membership import Membership
    from imagegateway.jobs.stream import Entry, JobStream
    from imagegateway.jobs.worker import Worker

_ADOPTED_AT_ONCE: Final = 50
_ADOPTION_SECONDS: Final = 0.25
"""After a takeover so many tasks are polled at first, and as many more every so often."""
_log = logs.get(__name__)


class Reconciler:
    """Compares the records with what this replica does. Each pass takes one turn of the loop."""

    def __init__(
        self, *, stream: JobStream, feed: JobFeed, membership: Membership, admission: AdmissionControl, worker: Worker
    ) -> None:
        self._stream = stream
        self._feed = feed
        self._membership = membership
        self._admission = admission
        self._worker = worker

    def reconcile(self) -> None:
        """Take over the jobs of replicas that are gone, end those whose time is over, go on with own ones that nobody
        runs, and free slots without a job.

        Crashes and lost messages are handled where they happen; this is the net below.
        """
        now, adopted = transitions.now(), 0
        for entry in list(self._feed.live.values()):
            record = entry.record
            if self._worker.busy(record.id):
                continue
            if record.owner != self._membership.me:
                if self._membership.gone(record.owner):
                    pause = adopted // _ADOPTED_AT_ONCE * _ADOPTION_SECONDS
                    self._worker.attend(record.id, self._adopt(entry, pause))
                    adopted += record.state == states.RUNNING
            elif record.state in states.WAITING and record.deadline < now:
                self._worker.expire(entry)
            elif (not entry.ended or record.call_open) and not self._worker.attends(record.id):
                _log.warning("job_unattended", job_id=record.id, state=states.token(record.state))
                self._worker.resume(entry)
        for job_id in self._admission.holders():
            if not self._worker.busy(job_id):
                self._worker.give_back(job_id)

    async def _adopt(self, entry: Entry, pause: float) -> None:
        """Take a job over from a replica that is gone. `pause`: seconds until a running one is polled."""
        record = entry.copy()
        before = record.owner
        record.owner = self._membership.me
        try:
            entry = await self._stream.advance(entry, record)
        except StaleError:
            return
        _log.info("job_adopted", job_id=record.id, owner=before, state=states.token(record.state))
        self._feed.wrote(entry)
        if not record.call_open:  # else the worker has learned of it as of a cancel
            self._worker.resume(entry, pause)
