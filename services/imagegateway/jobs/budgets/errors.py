"""Errors of calls that their budgets refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.jobs.budgets import periods
from imagegateway.jobs.budgets.account import MAX_RESERVATIONS
from imagegateway.keys.policy import BudgetPeriod
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.money import decimal_usd
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.budgets.account import Account
    from imagegateway.jobs.budgets.budget import Budget

_SPENT_IN: Final = {BudgetPeriod.DAY: "today", BudgetPeriod.MONTH: "this month", BudgetPeriod.TOTAL: "in total"}
_RETRY_SECONDS: Final = 5.0


def budget_exceeded(budget: Budget, account: Account, estimate: int, at: int) -> GatewayError:
    """Return the error of a call whose estimate its budget does not leave. `at`: Unix milliseconds."""
    end = periods.end_of(budget.period, at)
    whole_again = f"The budget is whole again at {end:%Y-%m-%dT%H:%M:%SZ}." if end else "It never renews."
    return GatewayError(
        ErrorReason.ERROR_REASON_BUDGET_EXCEEDED,
        f"This request may cost {decimal_usd(estimate)} US dollars, which the budget of {_owner(budget)} does not "
        f"leave: of {decimal_usd(budget.limit)}, {decimal_usd(account.spent)} are spent {_SPENT_IN[budget.period]} "
        f"and {decimal_usd(account.reserved)} reserved for unfinished jobs. {whole_again}",
        details={
            "scope": budget.scope,
            "id": budget.owner,
            "budget": decimal_usd(budget.limit),
            "spent": decimal_usd(account.spent),
            "reserved": decimal_usd(account.reserved),
            "estimate": decimal_usd(estimate),
            "renews_at": f"{end:%Y-%m-%dT%H:%M:%SZ}" if end else "",
        },
    )


def price_unknown(budget: Budget, record: JobRecord) -> GatewayError:
    """Return the error of a call for a model without a known price under a budget."""
    model = record.task.model
    return GatewayError(
        ErrorReason.ERROR_REASON_PRICE_UNKNOWN,
        f"{model} has no known price for this request, and the budget of {_owner(budget)} needs one. The operator "
        "can set a price, or allow models without one by IMAGEGATEWAY_ALLOW_UNPRICED.",
        param="model",
        details={"model": model},
    )


def too_many_reservations(budget: Budget) -> GatewayError:
    """Return the error of a call whose account has no room for another reservation."""
    return GatewayError(
        ErrorReason.ERROR_REASON_OVERLOADED,
        f"{MAX_RESERVATIONS} unfinished jobs count against the budget of {_owner(budget)}, which is the limit; try "
        "again later.",
        retry_after=_RETRY_SECONDS,
    )


def _owner(budget: Budget) -> str:
    return f"the API key {budget.key_id}" if budget.key_id else f"tenant {budget.tenant!r}"
