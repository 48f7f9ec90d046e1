"""Budget thresholds: events for the operator when a budget is spent by half, four fifths and all."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from imagegateway.platform.money import NANO

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.budgets.account import Account
    from imagegateway.jobs.budgets.budget import Budget
    from imagegateway.jobs.budgets.ledger import BudgetLedger
    from imagegateway.jobs.operator_events import OperatorEvents

PERCENTAGES: Final = (50, 80, 100)
EVENT: Final = "budget.threshold"


class BudgetThresholds:
    """Queues one event for each threshold, period and account.

    The event is queued before the account notes it: a crash between both repeats the event with the same id.
    """

    def __init__(self, ledger: BudgetLedger, events: OperatorEvents) -> None:
        self._ledger = ledger
        self._events = events

    async def announce(self, name: str, account: Account, record: JobRecord) -> None:
        """Queue the events that an account of a job owes. Raises UnavailableError."""
        for budget in self._ledger.budgets(record.key_id, record.tenant):
            if budget.account == name:
                for percent in _owed(budget, account):
                    await self._events.publish(
                        _event_id(name, account.period, percent), EVENT, _data(budget, account, percent)
                    )
                    await self._ledger.mark_notified(name, account.period, percent)


def _owed(budget: Budget, account: Account) -> list[int]:
    """Return the percentages that are reached and not announced. A budget of 0 reaches no percentage."""
    return [
        percent
        for percent in PERCENTAGES
        if budget.limit and account.spent * 100 >= budget.limit * percent and percent not in account.notified
    ]


def _event_id(name: str, period: str, percent: int) -> str:
    return f"evt_{hashlib.sha256(f'{name} {period} {percent}'.encode()).hexdigest()[:26]}"


def _data(budget: Budget, account: Account, percent: int) -> dict[str, object]:
    """Return the event's data. Amounts are US dollars."""
    return {
        "scope": budget.scope,
        "id": budget.owner,
        "tenant": budget.tenant,
        "threshold": percent,
        "spent": account.spent / NANO,
        "budget": budget.limit / NANO,
        "currency": "USD",
        "period": account.period,
    }
