"""Fair queue: grants slots to queued jobs, in turn between tenants."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, TypeAlias

from imagegateway.jobs.limits import SlotRequest
from imagegateway.jobs.segmented_dict import SegmentedDict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagegateway.jobs.limits import LimitKey
    from imagegateway.jobs.slot_pool import SlotPool


@dataclass(slots=True)
class _Queue:
    """Queued jobs of one tenant with the same limit key and API key.

    They are numbers and texts: an object for each job would delay every full garbage collection.
    """

    key: LimitKey
    tenant: str
    api_key: str
    numbers: deque[int] = field(default_factory=deque)
    """Order of arrival, ascending."""
    jobs: dict[int, str] = field(default_factory=dict)
    """Job id of each number."""
    slots: dict[int, int] = field(default_factory=dict)
    """Slots that the job of each number needs."""

    @property
    def first(self) -> SlotRequest:
        """The request of the job that arrived first."""
        number = self.numbers[0]
        return SlotRequest(self.jobs[number], self.key, self.tenant, self.slots[number], self.api_key)

    def append(self, number: int, request: SlotRequest) -> None:
        """Append a job."""
        self.numbers.append(number)
        self.jobs[number] = request.job_id
        self.slots[number] = request.slots

    def remove(self, number: int) -> None:
        """Remove a job."""
        del self.numbers[self.rank(number)]
        del self.jobs[number], self.slots[number]

    def rank(self, number: int) -> int:
        """Return how many jobs arrived before a number."""
        return bisect_left(self.numbers, number)


_Queues: TypeAlias = OrderedDict[str, dict[tuple[str, str], _Queue]]
"""Queued jobs of one route and provider key: tenants in order of service, each with its jobs by `LimitKey.model` and
API key. So neither a model without free slots nor an API key at its limit delays other jobs of the tenant."""


@dataclass(slots=True)
class FairQueue:
    """Queued jobs by route and provider key. Knows slot requests only, no records."""

    pool: SlotPool
    _queues: dict[LimitKey, _Queues] = field(default_factory=dict)
    _queued: SegmentedDict[_Queue] = field(default_factory=SegmentedDict)
    """Queue of each queued job."""
    _arrivals: SegmentedDict[int] = field(default_factory=SegmentedDict)
    """Number of each queued job."""
    _queued_by_tenant: Counter[str] = field(default_factory=Counter)
    _numbers: Iterator[int] = field(default_factory=count)

    def __len__(self) -> int:
        """Return the number of queued jobs."""
        return len(self._queued)

    def __contains__(self, job_id: str) -> bool:
        """Return whether a job is queued."""
        return job_id in self._queued

    @property
    def empty(self) -> bool:
        """True if no job is queued, and nothing of earlier jobs is left."""
        return not (self._queued or self._arrivals or self._queues or self._queued_by_tenant)

    def queued_by(self, tenant: str) -> int:
        """Return the number of a tenant's queued jobs."""
        return self._queued_by_tenant[tenant]

    def tenant_limit(self, tenant: str, limit: int) -> int:
        """Return the most jobs that a tenant may queue: `limit`, or its share once so many jobs are queued in all.

        A tenant without queued jobs may always queue one, however many the others have.
        """
        if len(self) < limit:
            return limit
        tenants = self._queued_by_tenant.keys() | {tenant}
        return max(min(limit, 1), limit // len(tenants))

    def can_reserve(self, request: SlotRequest) -> bool:
        """Return whether a job may run at once: slots are free, and no queued job waits for them.

        A job that holds slots of another route counts towards its tenant's and API key's limits already.
        """
        first, awaited = self._first(self._queues.get(request.key.route_key, OrderedDict()))
        return (
            first is None
            and awaited.isdisjoint(request.key.levels)
            and not self.pool.exhausted(request)
            and (self.pool.holds(request.job_id) or not self._at_job_limit(request))
            and not self.pool.exceeds_share(request)
        )

    def enqueue(self, request: SlotRequest) -> None:
        """Append a job to its tenant's queue. Idempotent."""
        if request.job_id in self._queued:
            return
        queues = self._queues.setdefault(request.key.route_key, OrderedDict()).setdefault(request.tenant, {})
        name = request.key.model, request.api_key
        if (queue := queues.get(name)) is None:
            queue = queues[name] = _Queue(request.key, request.tenant, request.api_key)
        number = next(self._numbers)
        queue.append(number, request)
        self._queued[request.job_id] = queue
        self._arrivals[request.job_id] = number
        self._queued_by_tenant[request.tenant] += 1

    def remove(self, job_id: str) -> bool:
        """Remove a job from the queue. Return whether it was queued. Idempotent."""
        queue = self._queued.pop(job_id, None)
        if queue is None:
            return False
        queue.remove(self._arrivals.pop(job_id))
        key, tenant = queue.key, queue.tenant
        self._queued_by_tenant[tenant] -= 1
        if not self._queued_by_tenant[tenant]:
            del self._queued_by_tenant[tenant]
        tenants = self._queues[key.route_key]
        if not queue.numbers:
            del tenants[tenant][key.model, queue.api_key]
        if not tenants[tenant]:
            del tenants[tenant]
        if not tenants:
            del self._queues[key.route_key]
        return True

    def grant_next(self) -> str | None:
        """Reserve slots for the next job that may run, and return its id; None when none may.

        Tenants alternate: the tenant of the granted job moves to the end. So do routes.
        """
        for route_key, tenants in list(self._queues.items()):
            request, _ = self._first(tenants)
            if request is None:
                continue
            self.remove(request.job_id)
            self.pool.reserve(request)
            if request.tenant in tenants:
                tenants.move_to_end(request.tenant)
            if tenants:
                self._queues[route_key] = self._queues.pop(route_key)
            return request.job_id
        return None

    def position(self, job_id: str) -> int | None:
        """Return the number of jobs that run before a queued one if tenants keep alternating; None for others."""
        own = self._queued.get(job_id)
        if own is None:
            return None
        tenants = self._queues[own.key.route_key]
        number = self._arrivals[job_id]
        rank = sum(queue.rank(number) for queue in tenants[own.tenant].values())
        ahead, before = rank, True
        for tenant, queues in tenants.items():
            if tenant == own.tenant:
                before = False
            else:
                ahead += min(sum(len(queue.numbers) for queue in queues.values()), rank + before)
        return ahead

    def _at_job_limit(self, request: SlotRequest) -> bool:
        return self.pool.tenant_at_limit(request.tenant) or self.pool.api_key_at_limit(request.api_key)

    def _first(self, tenants: _Queues) -> tuple[SlotRequest | None, set[LimitKey]]:
        """Return the first request in turn that may run, and the keys that requests before it wait for.

        The first request that waits for slots gets the next free ones, so small jobs do not overtake a large one
        forever. A model without free slots blocks no other model, an API key at its limit no other key, and a tenant
        at its limit or share no other tenant.
        """
        awaited: set[LimitKey] = set()
        for tenant, queues in tenants.items():
            if self.pool.tenant_at_limit(tenant):
                continue
            free = (queue for queue in queues.values() if not self.pool.api_key_at_limit(queue.api_key))
            for queue in sorted(free, key=lambda queue: queue.numbers[0]):
                request = queue.first
                if self.pool.exceeds_share(request) or not awaited.isdisjoint(request.key.levels):
                    continue
                exhausted = self.pool.exhausted(request)
                if not exhausted:
                    return request, awaited
                awaited.update(exhausted)
                if request.key.route_key in awaited:
                    return None, awaited
        return None, awaited
