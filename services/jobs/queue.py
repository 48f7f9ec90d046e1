"""Whose turn it is: jobs that wait, by route, fair between tenants, within the limits of route and tenant."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Line:
    """A route's waiting jobs: a queue for each tenant, tenants in the order of their turns."""

    tenants: OrderedDict[str, deque[str]] = field(default_factory=OrderedDict)
    size: int = 0


@dataclass(slots=True)
class Queue:
    """Waiting and running jobs as counts and lines; knows nothing of records.

    `route_limit` and `tenant_limit`: how many jobs of a route, and of a tenant, may be at the providers at once.
    """

    route_limit: dict[str, int]
    default_route_limit: int
    tenant_limit: int
    _lines: dict[str, _Line] = field(default_factory=dict)
    _running: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    _places: dict[str, int] = field(default_factory=dict)
    _by_route: Counter[str] = field(default_factory=Counter)
    _by_tenant: Counter[str] = field(default_factory=Counter)

    @property
    def waiting(self) -> int:
        return sum(line.size for line in self._lines.values())

    def free(self, route: str, tenant: str, places: int = 1) -> bool:
        """Whether one more job may run, that takes up so many of the route's places; one that takes more than
        there are runs alone.
        """
        limit = self.route_limit.get(route, self.default_route_limit)
        taken = self._by_route[route]
        fits = taken + places <= limit or not taken
        return fits and self._by_tenant[tenant] < self.tenant_limit

    def idle(self, route: str) -> bool:
        """Whether nobody waits for the route."""
        line = self._lines.get(route)
        return line is None or not line.size

    def run(self, job_id: str, route: str, tenant: str, places: int = 1) -> None:
        """Count a job as running. Harmless to repeat."""
        if job_id not in self._running:
            self._running[job_id] = (route, tenant, places)
            self._by_route[route] += places
            self._by_tenant[tenant] += 1

    def end(self, job_id: str) -> None:
        """Count it no more. Harmless for one that does not run."""
        found = self._running.pop(job_id, None)
        if found:
            self._by_route[found[0]] -= found[2]
            self._by_tenant[found[1]] -= 1

    def wait(self, job_id: str, route: str, tenant: str, places: int = 1) -> None:
        """Put a job at the end of its tenant's line."""
        self._places[job_id] = places
        line = self._lines.setdefault(route, _Line())
        line.tenants.setdefault(tenant, deque()).append(job_id)
        line.size += 1

    def leave(self, job_id: str, route: str, tenant: str) -> None:
        """Take a job out of its line, if it stands there."""
        line = self._lines.get(route)
        if line is None or job_id not in line.tenants.get(tenant, ()):
            return
        line.tenants[tenant].remove(job_id)
        self._places.pop(job_id, None)
        line.size -= 1
        if not line.tenants[tenant]:
            del line.tenants[tenant]

    def take(self) -> str | None:
        """The next job that may run, counted as running; None when none may.

        Tenants take turns: the one that was served goes to the end.
        """
        for route, line in list(self._lines.items()):
            for tenant in list(line.tenants):
                waiting = line.tenants[tenant]
                places = self._places[waiting[0]]
                if not self.free(route, tenant, places):
                    continue
                job_id = waiting.popleft()
                del self._places[job_id]
                line.size -= 1
                if waiting:
                    line.tenants.move_to_end(tenant)
                else:
                    del line.tenants[tenant]
                self.run(job_id, route, tenant, places)
                self._lines[route] = self._lines.pop(route)  # routes take turns, too
                return job_id
        return None

    def position(self, job_id: str, route: str, tenant: str) -> int | None:
        """How many jobs are ahead of a waiting one, if tenants keep taking turns; None when it does not wait."""
        line = self._lines.get(route)
        if line is None or tenant not in line.tenants:
            return None
        try:
            rank = line.tenants[tenant].index(job_id)
        except ValueError:
            return None
        ahead, before = rank, True
        for other, jobs in line.tenants.items():
            if other == tenant:
                before = False
            else:
                ahead += min(len(jobs), rank + before)
        return ahead
