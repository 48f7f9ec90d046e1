"""Admission control: grants provider slots to queued jobs, deriving usage from job records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.jobs import states
from imagegateway.jobs.fair_queue import FairQueue
from imagegateway.jobs.limits import SlotRequest
from imagegateway.jobs.slot_pool import SlotPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.limits import Limits
    from imagegateway.jobs.stream import Entry


class AdmissionControl:
    """Counts the slots of all replicas' jobs, and queues this replica's own.

    Its state follows from job records alone, so a restarted replica counts the same as the others.
    """

    def __init__(self, limits: Limits, owner: str) -> None:
        """`owner`: this replica's id as an owner of jobs."""
        self._limits = limits
        self._owner = owner
        self._pool = SlotPool(limits)
        self._queue = FairQueue(self._pool)
        self._on_grant: Callable[[str], None] | None = None

    def start(self, on_grant: Callable[[str], None]) -> None:
        """Grant slots from now on. `on_grant` gets the id of each queued job whose slots have been reserved."""
        self._on_grant = on_grant

    def stop(self) -> None:
        """Grant no more slots to queued jobs."""
        self._on_grant = None

    @property
    def idle(self) -> bool:
        """True if no job is queued or holds slots."""
        return self._queue.empty and self._pool.empty

    def has_queue_room(self, tenant: str, limit: int) -> bool:
        """Return whether a tenant may queue one more job. `limit`: most queued jobs of this replica."""
        return self._queue.queued_by(tenant) < self._queue.tenant_limit(tenant, limit)

    def queued_by(self, tenant: str) -> int:
        """Return the number of a tenant's queued jobs on this replica."""
        return self._queue.queued_by(tenant)

    def try_reserve(self, record: JobRecord) -> bool:
        """Reserve a job's slots if they are free. Return whether they were.

        The job releases the slots of its previous route, if it holds any.
        """
        request = self._request(record)
        if not self._queue.can_reserve(request):
            return False
        if self._pool.reserve(request):
            self.grant_slots()
        return True

    def enqueue(self, record: JobRecord) -> None:
        """Queue a job."""
        self._queue.enqueue(self._request(record))
        self.grant_slots()

    def release(self, job_id: str) -> None:
        """Remove a job from the queue and release its slots. Idempotent."""
        removed, released = self._queue.remove(job_id), self._pool.release(job_id)
        if removed or released:
            self.grant_slots()

    def apply(self, entry: Entry) -> None:
        """Count a job as its newest record says, whichever replica wrote it.

        An ended job keeps its slots while its provider call is open.
        """
        record = entry.record
        if record.state in states.ACTIVE or record.call_open:
            removed = self._queue.remove(record.id)
            released = self._pool.reserve(self._request(record), entry.seq)
        elif record.state in states.WAITING and record.owner == self._owner:
            removed, released = False, self._pool.release(record.id)
        else:
            self.release(record.id)
            return
        if removed or released:
            self.grant_slots()

    def recount(self, job_id: str, newest: Entry | None) -> None:
        """Correct a job's slots after a write that did not happen. `newest`: its entry; None: it has no record."""
        if newest is None:
            self.release(job_id)
        else:
            self.apply(newest)

    def is_queued(self, job_id: str) -> bool:
        """Return whether one of this replica's jobs is queued."""
        return job_id in self._queue

    def holders(self) -> Iterator[list[tuple[str, int]]]:
        """Yield all jobs that hold slots, as `SegmentedDict.slices`.

        Each with the sequence of the record by which its slots are counted; 0 while that record is not written.
        """
        return self._pool.holders()

    def position(self, record: JobRecord) -> int | None:
        """Return the number of jobs ahead of a queued job of this replica; None for any other job."""
        return self._queue.position(record.id) if record.state == states.QUEUED else None

    def grant_slots(self) -> None:
        """Grant free slots to queued jobs, such as those that a raised limit has freed."""
        while self._on_grant and (job_id := self._queue.grant_next()) is not None:
            self._on_grant(job_id)

    def _request(self, record: JobRecord) -> SlotRequest:
        key = self._limits.key(record.task.route, record.key_fingerprint, record.task.model)
        return SlotRequest(record.id, key, record.tenant, record.slots or 1, record.key_id)
