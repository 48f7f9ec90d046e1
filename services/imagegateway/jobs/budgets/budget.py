"""Budget of a key or a tenant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegateway.keys.policy import key_account, tenant_account

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.keys.policy import BudgetPeriod


@dataclass(frozen=True, slots=True)
class Budget:
    """Budget of a key, or of a tenant for all its keys together."""

    tenant: str
    key_id: str
    """Empty: the tenant's budget."""
    limit: int
    """Nano-dollars in a period."""
    period: BudgetPeriod

    @property
    def account(self) -> str:
        """Return the name of the budget's account."""
        return key_account(self.key_id) if self.key_id else tenant_account(self.tenant)

    @property
    def scope(self) -> str:
        """Return `key` or `tenant`."""
        return "key" if self.key_id else "tenant"

    @property
    def owner(self) -> str:
        """Return the key's id, or the tenant's name."""
        return self.key_id or self.tenant

    def is_of(self, record: JobRecord) -> bool:
        """Return whether a job counts against the budget."""
        return record.key_id == self.key_id if self.key_id else record.tenant == self.tenant
