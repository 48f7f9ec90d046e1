"""Whose turn it is: jobs that wait, by lane, fair between tenants, within what providers and tenants may have."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


KEPT: Final = 8
"""One slot in so many is kept from a tenant that holds all others of a route with the operator's key."""
FEW: Final = 32
"""Routes of fewer slots keep none: a provider's own small limit is soon free again, and taken by turns."""


@dataclass(frozen=True, slots=True)
class LimitKey:
    """Whose places a job takes up at its provider."""

    route: str
    account: str = ""
    """Which key: empty for the operator's, else a fingerprint of a caller's own."""
    model: str = ""
    """The model where it has a limit of its own within the route's; else empty."""

    @property
    def whole(self) -> LimitKey:
        """All that goes by the route with this key."""
        return LimitKey(self.route, self.account) if self.model else self

    @property
    def counts(self) -> tuple[LimitKey, ...]:
        """What a job of this lane is counted in."""
        return (self, self.whole) if self.model else (self,)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many places there are, for each key."""

    routes: Mapping[str, int]
    default: int
    """For routes that are not among `routes`."""
    tenant: int
    """Jobs that one tenant may have at the providers at once."""
    models: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Route and model, where the model has fewer places than its route."""
    multi_tenant: Callable[[], bool] = bool
    """Whether there is more than one tenant: one that is alone may hold every slot."""

    def key(self, route: str, account: str, model: str) -> LimitKey:
        return LimitKey(route, account, model if (route, model) in self.models else "")

    def of(self, lane: LimitKey) -> int:
        return self.models[lane.route, lane.model] if lane.model else self.routes.get(lane.route, self.default)

    def share(self, lane: LimitKey) -> int:
        """Return the number of slots that one tenant may hold."""
        limit = self.of(lane)
        return limit if lane.account or limit < FEW or not self.multi_tenant() else limit - limit // KEPT


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """What a job needs to run: so many places of a lane, as one job of its tenant."""

    job_id: str
    lane: LimitKey
    tenant: str
    places: int = 1


@dataclass(frozen=True, slots=True)
class _Waiting:
    claim: SlotRequest
    number: int
    """Order of arrival."""


_NUMBER: Final = attrgetter("number")
_Line: TypeAlias = OrderedDict[str, dict[str, deque[_Waiting]]]
"""Queued jobs of one route and provider key: tenants in order of service, each with its jobs by `LimitKey.model`."""


@dataclass(slots=True)
class FairQueue:
    """Waiting and running jobs as counts and lines; knows nothing of records."""

    limits: Limits
    _lines: dict[LimitKey, _Line] = field(default_factory=dict)
    _waiting: dict[str, _Waiting] = field(default_factory=dict)
    _running: dict[str, SlotRequest] = field(default_factory=dict)
    _taken: Counter[LimitKey] = field(default_factory=Counter)
    _by_tenant: Counter[str] = field(default_factory=Counter)
    _waiting_by_tenant: Counter[str] = field(default_factory=Counter)
    _held: Counter[tuple[LimitKey, str]] = field(default_factory=Counter)
    """Slots by lane and tenant."""
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def waiting_of(self, tenant: str) -> int:
        """How many jobs of a tenant wait."""
        return self._waiting_by_tenant[tenant]

    def share(self, tenant: str, limit: int) -> int:
        """How many jobs a tenant may have waiting: `limit`, and once so many wait in all, its part of them.

        A tenant that has none waiting always finds room, however many jobs the others have.
        """
        if self.waiting < limit:
            return limit
        tenants = self._waiting_by_tenant.keys() | {tenant}
        return max(min(limit, 1), limit // len(tenants))

    def waits(self, job_id: str) -> bool:
        """Return whether a job is in line."""
        return job_id in self._waiting

    def holders(self) -> list[str]:
        """Return the ids of all jobs that are counted as running."""
        return list(self._running)

    def free(self, claim: SlotRequest) -> bool:
        """Whether a job that comes now may run at once: there are places for it, and nobody waits for them."""
        first, awaited = self._first(self._lines.get(claim.lane.whole, OrderedDict()))
        return (
            first is None
            and awaited.isdisjoint(claim.lane.counts)
            and not self._short(claim)
            and self._by_tenant[claim.tenant] < self.limits.tenant
            and not self._over_share(claim)
        )

    def run(self, claim: SlotRequest) -> bool:
        """Count a job as running, by this claim and no other; tells whether others may have a turn by that. Harmless
        to repeat.
        """
        left = self.leave(claim.job_id)
        if self._running.get(claim.job_id) == claim:
            return left
        ended = self.end(claim.job_id)
        self._running[claim.job_id] = claim
        for lane in claim.lane.counts:
            self._taken[lane] += claim.places
            self._held[lane, claim.tenant] += claim.places
        self._by_tenant[claim.tenant] += 1
        return left or ended

    def end(self, job_id: str) -> bool:
        """Count it no more; tells whether it was counted. Harmless for one that does not run."""
        claim = self._running.pop(job_id, None)
        if claim is None:
            return False
        for lane in claim.lane.counts:
            self._taken[lane] -= claim.places
            if not self._taken[lane]:
                del self._taken[lane]  # callers' keys come and go
            self._held[lane, claim.tenant] -= claim.places
            if not self._held[lane, claim.tenant]:
                del self._held[lane, claim.tenant]
        self._by_tenant[claim.tenant] -= 1
        if not self._by_tenant[claim.tenant]:
            del self._by_tenant[claim.tenant]
        return True

    def wait(self, claim: SlotRequest) -> None:
        """Put a job at the end of its tenant's line. Harmless to repeat."""
        if claim.job_id in self._waiting:
            return
        entry = self._waiting[claim.job_id] = _Waiting(claim, next(self._numbers))
        self._waiting_by_tenant[claim.tenant] += 1
        jobs = self._lines.setdefault(claim.lane.whole, OrderedDict()).setdefault(claim.tenant, {})
        jobs.setdefault(claim.lane.model, deque()).append(entry)

    def leave(self, job_id: str) -> bool:
        """Take a job out of its line; tells whether it stood there."""
        entry = self._waiting.pop(job_id, None)
        if entry is None:
            return False
        lane, tenant = entry.claim.lane, entry.claim.tenant
        self._waiting_by_tenant[tenant] -= 1
        if not self._waiting_by_tenant[tenant]:
            del self._waiting_by_tenant[tenant]
        line = self._lines[lane.whole]
        jobs = line[tenant][lane.model]
        del jobs[bisect_left(jobs, entry.number, key=_NUMBER)]
        if not jobs:
            del line[tenant][lane.model]
        if not line[tenant]:
            del line[tenant]
        if not line:
            del self._lines[lane.whole]
        return True

    def take(self) -> str | None:
        """The next job that may run, counted as running; None when none may.

        Tenants take turns: the one that was served goes to the end.
        """
        for lane, line in list(self._lines.items()):
            claim, _ = self._first(line)
            if claim is None:
                continue
            self.run(claim)
            if claim.tenant in line:
                line.move_to_end(claim.tenant)
            if line:
                self._lines[lane] = self._lines.pop(lane)  # lanes take turns, too
            return claim.job_id
        return None

    def position(self, job_id: str) -> int | None:
        """How many jobs are ahead of a waiting one, if tenants keep taking turns; None when it does not wait."""
        entry = self._waiting.get(job_id)
        if entry is None:
            return None
        line = self._lines[entry.claim.lane.whole]
        rank = sum(bisect_left(jobs, entry.number, key=_NUMBER) for jobs in line[entry.claim.tenant].values())
        ahead, before = rank, True
        for tenant, models in line.items():
            if tenant == entry.claim.tenant:
                before = False
            else:
                ahead += min(sum(map(len, models.values())), rank + before)
        return ahead

    def _first(self, line: _Line) -> tuple[SlotRequest | None, set[LimitKey]]:
        """The first in turn that may run, and what those before it wait for.

        Who waits for places gets the next ones: a job that takes up many is not passed by for ever by small ones. A
        model without places holds up no other model, and a tenant at its limit or its share nobody else.
        """
        awaited: set[LimitKey] = set()
        for tenant, models in line.items():
            if self._by_tenant[tenant] >= self.limits.tenant:
                continue
            for entry in sorted((jobs[0] for jobs in models.values()), key=_NUMBER):
                claim = entry.claim
                if self._over_share(claim) or not awaited.isdisjoint(claim.lane.counts):
                    continue
                short = self._short(claim)
                if not short:
                    return claim, awaited
                awaited.update(short)
                if claim.lane.whole in awaited:
                    return None, awaited
        return None, awaited

    def _over_share(self, claim: SlotRequest) -> bool:
        """Return whether a job would take slots that are kept for other tenants."""
        return any(
            (held := self._held[lane, claim.tenant]) and held + claim.places > self.limits.share(lane)
            for lane in claim.lane.counts
        )

    def _short(self, claim: SlotRequest) -> list[LimitKey]:
        """Where there are too few places for a job; one that takes more than there are runs alone."""
        return [
            lane
            for lane in claim.lane.counts
            if (taken := self._taken[lane]) and taken + claim.places > self.limits.of(lane)
        ]
