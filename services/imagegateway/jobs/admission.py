"""Which jobs may be at their providers: the queue's places, counted and handed out by what records say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.jobs import states
from imagegateway.jobs.fair_queue import FairQueue, SlotRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.fair_queue import Limits


class AdmissionControl:
    """Counts every replica's jobs, and says when it is the turn of one of this replica's.

    All that it knows follows from records, so a replica that starts anew counts as the others do.
    """

    def __init__(self, limits: Limits, me: str, begin: Callable[[str], None]) -> None:
        """`me`: this replica as an owner. `begin` is called with the id of a job whose turn has come; its place is
        counted by then.
        """
        self._queue = FairQueue(limits)
        self._limits = limits
        self._me = me
        self._begin = begin
        self._stopped = False

    def room(self, tenant: str, limit: int) -> bool:
        """Whether one more job of a tenant may wait on this replica; `limit`: how many may in all."""
        return self._queue.waiting_of(tenant) < self._queue.share(tenant, limit)

    def waiting_of(self, tenant: str) -> int:
        """How many jobs of a tenant wait on this replica."""
        return self._queue.waiting_of(tenant)

    def stop(self) -> None:
        """Nobody's turn comes any more."""
        self._stopped = True

    def enter(self, record: JobRecord) -> bool:
        """Take up a job's places at once, where nobody waits for them; tells whether there were any."""
        claim = self._claim(record)
        free = self._queue.free(claim)
        if free and self._queue.run(claim):
            self._next()
        return free

    def wait(self, record: JobRecord) -> None:
        """Put a job in line."""
        self._queue.wait(self._claim(record))
        self._next()

    def leave(self, job_id: str) -> None:
        """It is in line no more, and takes up no place."""
        left, ended = self._queue.leave(job_id), self._queue.end(job_id)
        if left or ended:
            self._next()

    def follow(self, record: JobRecord) -> None:
        """Count a job as its record has it, whoever wrote that. An ended job keeps its slots while its provider call
        goes on.
        """
        if record.state in states.ACTIVE or record.call_open:
            freed = self._queue.run(self._claim(record))
        elif record.state in states.WAITING and record.owner == self._me:
            freed = self._queue.end(record.id)
        else:
            self.leave(record.id)
            return
        if freed:
            self._next()

    def waits(self, job_id: str) -> bool:
        """Return whether a job of this replica's is in the queue."""
        return self._queue.waits(job_id)

    def holders(self) -> list[str]:
        """Return the ids of all jobs that hold slots."""
        return self._queue.holders()

    def position(self, record: JobRecord) -> int | None:
        """How many jobs are ahead of one of this replica's that has not been begun."""
        return self._queue.position(record.id) if record.state == states.QUEUED else None

    def _claim(self, record: JobRecord) -> SlotRequest:
        lane = self._limits.key(record.task.route, record.key_fingerprint, record.task.model)
        return SlotRequest(record.id, lane, record.tenant, record.slots or 1)

    def _next(self) -> None:
        while not self._stopped and (job_id := self._queue.take()) is not None:
            self._begin(job_id)
