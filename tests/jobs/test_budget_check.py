"""Check of a plan against its budgets: the errors of a reservation, without one."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs.budgets.ledger import BudgetLedger, BudgetPolicy
from imagegateway.keys.policy import BudgetPeriod, Quota
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.money import to_cost, usd
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.platform.key_values import MemoryBucket, MemoryKeyValue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def job(job_id: str, estimate: str | None) -> JobRecord:
    record = JobRecord(id=job_id, tenant="acme", key_id="k", owner="r0", submission=job_id)
    if estimate is not None:
        record.estimate.CopyFrom(to_cost(usd(estimate), estimated=True))
    return record


@pytest.fixture
async def ledger() -> AsyncIterator[BudgetLedger]:
    """Yield a ledger with a budget of 0.10 US dollars for the key."""
    quota = Quota(budget=Decimal("0.10"), budget_period=BudgetPeriod.MONTH)
    policy = BudgetPolicy(key_quota=lambda _key: quota, tenant_quota=lambda _tenant: Quota())
    feed: Any = None
    ledger = BudgetLedger(MemoryKeyValue(MemoryBucket()), policy=policy, history=_Spent(), feed=feed)
    yield ledger
    await ledger.close()


class _Spent:
    """History of 0.04 US dollars."""

    async def spent(self, **_: Any) -> int:
        return usd("0.04")


@pytest.mark.parametrize(
    ("estimate", "reason"),
    [
        ("0.06", None),
        ("0", None),
        ("0.061", ErrorReason.ERROR_REASON_BUDGET_EXCEEDED),
        (None, ErrorReason.ERROR_REASON_PRICE_UNKNOWN),
    ],
)
async def test_check_refuses_as_a_reservation(ledger: BudgetLedger, estimate: str | None, reason: Any) -> None:
    for _ in range(2):  # a check reserves nothing, so a second one has the same result
        if reason is None:
            await ledger.check(job("job_1", estimate))
        else:
            with pytest.raises(GatewayError) as caught:
                await ledger.check(job("job_1", estimate))
            assert caught.value.reason == reason
