"""Fair queue: grants slots to queued jobs, in turn between tenants."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagegateway.jobs.limits import LimitKey, SlotRequest
    from imagegateway.jobs.slot_pool import SlotPool


@dataclass(frozen=True, slots=True)
class _Queued:
    request: SlotRequest
    number: int
    """Order of arrival."""


_NUMBER: Final = attrgetter("number")
_Queues: TypeAlias = OrderedDict[str, dict[tuple[str, str], deque[_Queued]]]
"""Queued jobs of one route and provider key: tenants in order of service, each with its jobs by `LimitKey.model` and
API key. So neither a model without free slots nor an API key at its limit delays other jobs of the tenant."""


@dataclass(slots=True)
class FairQueue:
    """Queued jobs by route and provider key. Knows slot requests only, no records."""

    pool: SlotPool
    _queues: dict[LimitKey, _Queues] = field(default_factory=dict)
    _queued: dict[str, _Queued] = field(default_factory=dict)
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
        return not (self._queued or self._queues or self._queued_by_tenant)

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
        queued = self._queued[request.job_id] = _Queued(request, next(self._numbers))
        self._queued_by_tenant[request.tenant] += 1
        jobs = self._queues.setdefault(request.key.route_key, OrderedDict()).setdefault(request.tenant, {})
        jobs.setdefault(_queue_of(request), deque()).append(queued)

    def remove(self, job_id: str) -> bool:
        """Remove a job from the queue. Return whether it was queued. Idempotent."""
        queued = self._queued.pop(job_id, None)
        if queued is None:
            return False
        key, tenant = queued.request.key, queued.request.tenant
        self._queued_by_tenant[tenant] -= 1
        if not self._queued_by_tenant[tenant]:
            del self._queued_by_tenant[tenant]
        tenants = self._queues[key.route_key]
        name = _queue_of(queued.request)
        jobs = tenants[tenant][name]
        del jobs[bisect_left(jobs, queued.number, key=_NUMBER)]
        if not jobs:
            del tenants[tenant][name]
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
        queued = self._queued.get(job_id)
        if queued is None:
            return None
        tenants = self._queues[queued.request.key.route_key]
        rank = sum(bisect_left(jobs, queued.number, key=_NUMBER) for jobs in tenants[queued.request.tenant].values())
        ahead, before = rank, True
        for tenant, queues in tenants.items():
            if tenant == queued.request.tenant:
                before = False
            else:
                ahead += min(sum(map(len, queues.values())), rank + before)
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
            heads = (jobs[0] for (_, api_key), jobs in queues.items() if not self.pool.api_key_at_limit(api_key))
            for queued in sorted(heads, key=_NUMBER):
                request = queued.request
                if self.pool.exceeds_share(request) or not awaited.isdisjoint(request.key.levels):
                    continue
                exhausted = self.pool.exhausted(request)
                if not exhausted:
                    return request, awaited
                awaited.update(exhausted)
                if request.key.route_key in awaited:
                    return None, awaited
        return None, awaited


def _queue_of(request: SlotRequest) -> tuple[str, str]:
    """Return the name of a request's queue within its tenant's."""
    return request.key.model, request.api_key
