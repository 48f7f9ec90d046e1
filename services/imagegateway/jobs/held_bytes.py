"""Size of the job records in memory, by tenant."""

from __future__ import annotations

from collections import Counter


class HeldBytes:
    """Sums the record sizes of all jobs in the live view."""

    def __init__(self) -> None:
        self._sizes: dict[str, tuple[str, int]] = {}
        self._tenants: Counter[str] = Counter()

    def of(self, tenant: str) -> int:
        """Return the size of a tenant's records in bytes."""
        return self._tenants[tenant]

    def hold(self, job_id: str, tenant: str, size: int) -> None:
        """Count a job's record in place of its previous one. `size` in bytes."""
        self.drop(job_id)
        self._sizes[job_id] = (tenant, size)
        self._tenants[tenant] += size

    def drop(self, job_id: str) -> None:
        """Stop counting a job's record. Idempotent."""
        tenant, size = self._sizes.pop(job_id, ("", 0))
        self._tenants[tenant] -= size
        if not self._tenants[tenant]:
            del self._tenants[tenant]
