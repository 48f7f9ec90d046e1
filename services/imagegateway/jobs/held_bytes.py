"""Bytes of the job records that a replica holds in memory, by tenant."""

from __future__ import annotations

from collections import Counter


class HeldBytes:
    """Sums over all jobs that have not ended, and ended ones whose webhook or provider call goes on."""

    def __init__(self) -> None:
        self._sizes: dict[str, tuple[str, int]] = {}
        self._tenants: Counter[str] = Counter()

    def of(self, tenant: str) -> int:
        """Return the bytes of a tenant's records."""
        return self._tenants[tenant]

    def hold(self, job_id: str, tenant: str, size: int) -> None:
        """Count a job's record, in place of its earlier one."""
        self.drop(job_id)
        self._sizes[job_id] = (tenant, size)
        self._tenants[tenant] += size

    def drop(self, job_id: str) -> None:
        """Count a job's record no more. Harmless for one that is not counted."""
        tenant, size = self._sizes.pop(job_id, ("", 0))
        self._tenants[tenant] -= size
        if not self._tenants[tenant]:
            del self._tenants[tenant]
