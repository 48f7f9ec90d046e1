"""Periods of budgets: calendar days and months in UTC. All times are Unix milliseconds."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from imagegateway.keys.policy import BudgetPeriod

_BY_LENGTH: Final = {
    len(name): period
    for period, name in {
        BudgetPeriod.DAY: "2026-11-30",
        BudgetPeriod.MONTH: "2026-11",
        BudgetPeriod.TOTAL: "total",
    }.items()
}


def name_of(period: BudgetPeriod, at: int) -> str:
    """Return the name of the period that holds a time, such as `2026-11-30`, `2026-11` or `total`."""
    if period is BudgetPeriod.TOTAL:
        return "total"
    return f"{_utc(at):%Y-%m-%d}" if period is BudgetPeriod.DAY else f"{_utc(at):%Y-%m}"


def start_of(name: str) -> int:
    """Return the first instant of a named period; 0 for `total`. Raises ValueError for a malformed name."""
    match _BY_LENGTH.get(len(name)):
        case BudgetPeriod.DAY:
            first = date.fromisoformat(name)
        case BudgetPeriod.MONTH:
            first = date.fromisoformat(f"{name}-01")
        case BudgetPeriod.TOTAL:
            return 0
        case _:
            raise ValueError("no name of a period")
    return int(datetime.combine(first, time(), UTC).timestamp()) * 1000


def end_of(period: BudgetPeriod, at: int) -> datetime | None:
    """Return the first instant after the period that holds a time; None for `total`."""
    if period is BudgetPeriod.TOTAL:
        return None
    midnight = _utc(at).replace(hour=0, minute=0, second=0, microsecond=0)
    if period is BudgetPeriod.DAY:
        return midnight + timedelta(days=1)
    return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)


def covers(held: str, wanted: str) -> bool:
    """Return whether a period is the wanted one, or a later one of its kind: another replica's clock may lead."""
    return len(held) == len(wanted) and held >= wanted


def _utc(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)
