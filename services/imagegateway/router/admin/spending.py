"""Spending of keys and tenants with a budget, in its present period."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.jobs.budgets.budget import Budget
from imagegateway.platform.money import NANO

if TYPE_CHECKING:
    from imagegateway.jobs.budgets.ledger import BudgetLedger
    from imagegateway.keys.api_keys import ApiKey
    from imagegateway.keys.policy import Quota
    from imagegateway.keys.tenants import TenantPolicy


class Spending:
    """Reader of the budgets' ledger."""

    def __init__(self, ledger: BudgetLedger) -> None:
        self._ledger = ledger

    async def of_key(self, key: ApiKey) -> float | None:
        """Return what a key has spent in US dollars; None without a budget. Raises UnavailableError."""
        return await self._spent(key.tenant, key.id, key.quota)

    async def of_tenant(self, policy: TenantPolicy) -> float | None:
        """Return what a tenant has spent in US dollars; None without a budget. Raises UnavailableError."""
        return await self._spent(policy.name, "", policy.quota)

    async def _spent(self, tenant: str, key_id: str, quota: Quota) -> float | None:
        if quota.budget is None:
            return None
        budget = Budget(tenant, key_id, round(quota.budget * NANO), quota.budget_period)
        return await self._ledger.spent(budget) / NANO
