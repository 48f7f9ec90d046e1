"""Slot pool: the slots that running jobs hold, by limit key, tenant and API key."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from imagegateway.jobs.segmented_dict import SegmentedDict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagegateway.jobs.limits import LimitKey, Limits, SlotRequest

_T = TypeVar("_T")


class _Terms(NamedTuple):
    """Fields of a slot request that many jobs share."""

    key: LimitKey
    tenant: str
    slots: int
    api_key: str


class SlotPool:
    """Counts reserved slots against their limits."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._reserved: SegmentedDict[_Terms] = SegmentedDict()
        self._sequences: SegmentedDict[int] = SegmentedDict()
        self._shared: dict[_Terms, _Terms] = {}
        """The one object for all equal terms: an object for each job would delay every full garbage collection."""
        self._uses: Counter[_Terms] = Counter()
        self._used: Counter[LimitKey] = Counter()
        self._used_by_tenant: Counter[tuple[LimitKey, str]] = Counter()
        self._jobs_by_tenant: Counter[str] = Counter()
        self._jobs_by_api_key: Counter[str] = Counter()

    @property
    def empty(self) -> bool:
        """True if no job holds slots, and nothing of earlier jobs is left."""
        counts = (self._used, self._used_by_tenant, self._jobs_by_tenant, self._jobs_by_api_key, self._uses)
        return not (self._reserved or self._sequences or self._shared or any(counts))

    def holders(self) -> Iterator[list[tuple[str, int]]]:
        """Yield all jobs that hold slots, each with the sequence of `reserve`, as `SegmentedDict.slices`."""
        return self._sequences.slices()

    def reserve(self, request: SlotRequest, seq: int = 0) -> bool:
        """Reserve a job's slots, in place of any that it holds, whether or not they are free.

        `seq`: sequence of the record that asks for them; 0: that record is not written yet. Return whether this
        released others. Idempotent.
        """
        terms = _Terms(request.key, request.tenant, request.slots, request.api_key)
        if self._reserved.get(request.job_id) == terms:
            self._sequences[request.job_id] = seq
            return False
        released = self.release(request.job_id)
        self._reserved[request.job_id] = terms = self._shared.setdefault(terms, terms)
        self._sequences[request.job_id] = seq
        self._uses[terms] += 1
        for key in request.key.levels:
            self._used[key] += request.slots
            self._used_by_tenant[key, request.tenant] += request.slots
        self._jobs_by_tenant[request.tenant] += 1
        self._jobs_by_api_key[request.api_key] += 1
        return released

    def release(self, job_id: str) -> bool:
        """Release a job's slots. Return whether it held any. Idempotent."""
        terms = self._reserved.pop(job_id, None)
        if terms is None:
            return False
        del self._sequences[job_id]
        _subtract(self._uses, terms, 1)
        if terms not in self._uses:
            del self._shared[terms]
        for key in terms.key.levels:
            _subtract(self._used, key, terms.slots)
            _subtract(self._used_by_tenant, (key, terms.tenant), terms.slots)
        _subtract(self._jobs_by_tenant, terms.tenant, 1)
        _subtract(self._jobs_by_api_key, terms.api_key, 1)
        return True

    def holds(self, job_id: str) -> bool:
        """Return whether a job holds slots."""
        return job_id in self._reserved

    def tenant_at_limit(self, tenant: str) -> bool:
        """Return whether a tenant has its maximum number of jobs at the providers."""
        return self._jobs_by_tenant[tenant] >= self.limits.of_tenant(tenant)

    def api_key_at_limit(self, key_id: str) -> bool:
        """Return whether an API key has its maximum number of jobs at the providers."""
        limit = self.limits.api_key_jobs(key_id) if key_id else None
        return limit is not None and self._jobs_by_api_key[key_id] >= limit

    def exceeds_share(self, request: SlotRequest) -> bool:
        """Return whether a job would take slots that are kept for other tenants."""
        return any(
            (held := self._used_by_tenant[key, request.tenant])
            and held + request.slots > self.limits.tenant_share(key)
            for key in request.key.levels
        )

    def exhausted(self, request: SlotRequest) -> list[LimitKey]:
        """Return the keys with too few free slots for a job. A job that needs more than all slots runs alone."""
        return [
            key
            for key in request.key.levels
            if (used := self._used[key]) and used + request.slots > self.limits.of(key)
        ]


def _subtract(counts: Counter[_T], name: _T, number: int) -> None:
    """Subtract from a count, and delete a count of zero, because callers' keys come and go."""
    counts[name] -= number
    if not counts[name]:
        del counts[name]
