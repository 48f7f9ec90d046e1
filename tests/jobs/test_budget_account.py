"""Budget accounts as values: reservations, settlements, periods, stored form."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagegateway.jobs.budgets import account as accounts
from imagegateway.jobs.budgets import periods
from imagegateway.jobs.budgets.account import Account, OverBudgetError, Reservation, TooManyReservationsError
from imagegateway.keys.policy import BudgetPeriod

NOON = int(datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()) * 1000
EMPTY = Account(period="2026-11")


def _reserve(account: Account, job_id: str, amount: int, *, submission: str = "s", limit: int = 100) -> Account:
    return account.reserve(job_id, amount, submission=submission, owner="r/1", limit=limit)


def test_budget_is_reserved_to_its_last_unit_and_no_further() -> None:
    full = _reserve(_reserve(EMPTY, "a", 60), "b", 40)
    assert (full.reserved, full.left(100)) == (100, 0)
    with pytest.raises(OverBudgetError) as caught:
        _reserve(full, "c", 1)
    assert caught.value.account == full
    assert _reserve(full, "c", 0).left(100) == 0, "a free job runs under a used budget"


def test_free_job_runs_under_a_budget_of_zero() -> None:
    assert "a" in _reserve(EMPTY, "a", 0, limit=0).reservations
    with pytest.raises(OverBudgetError):
        _reserve(EMPTY, "a", 1, limit=0)


def test_repeated_changes_have_no_further_effect() -> None:
    reserved = _reserve(EMPTY, "a", 60)
    assert _reserve(reserved, "a", 60) is reserved
    settled = reserved.settle("a", "s", 50, ended_at=NOON)
    assert (settled.spent, settled.reserved) == (50, 0)
    assert settled.settle("a", "s", 50, ended_at=NOON) is settled
    assert settled.release("a", "s") is settled


def test_two_submissions_of_one_job_share_a_reservation_until_the_last_one_releases() -> None:
    both = _reserve(_reserve(EMPTY, "a", 60, submission="first"), "a", 60, submission="second")
    assert both.reserved == 60
    one = both.release("a", "first")
    assert one.reserved == 60
    assert one.settle("a", "second", 55, ended_at=NOON).spent == 55
    assert one.release("a", "second") == EMPTY


def test_reservation_of_a_late_twin_does_not_pay_for_the_settled_job_again() -> None:
    settled = _reserve(EMPTY, "a", 60, submission="first").settle("a", "first", 60, ended_at=NOON)
    twin = _reserve(settled, "a", 40, submission="second")
    assert twin.settle("a", "first", 60, ended_at=NOON) == settled


def test_joined_reservation_is_not_dropped() -> None:
    first = _reserve(EMPTY, "a", 60, submission="first")
    seen = first.reservations["a"]
    assert _reserve(first, "a", 60, submission="second").drop("a", seen).reserved == 60
    assert first.drop("a", seen) == EMPTY


def test_job_that_ended_before_the_period_costs_it_nothing() -> None:
    reserved = _reserve(Account(period="2026-12"), "a", 60)
    assert reserved.settle("a", "s", 60, ended_at=NOON) == Account(period="2026-12")


def test_number_of_reservations_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "MAX_RESERVATIONS", 1)
    with pytest.raises(TooManyReservationsError):
        _reserve(_reserve(EMPTY, "a", 1), "b", 1)


def test_document_of_most_reservations_fits_in_a_message() -> None:
    held = Reservation(10**15, {"0123abcd": "0123456789abcdef/0123456789ab"})
    full = Account("2026-11-30", 10**15, {f"job_{number:026}": held for number in range(accounts.MAX_RESERVATIONS)})
    assert len(accounts.encode(full)) < 1024 * 1024 - 4096


reservations = st.builds(
    Reservation, st.integers(0, 10**18), st.dictionaries(st.text("0123456789abcdef"), st.text("a/"), min_size=1)
)


@given(
    st.builds(
        Account,
        st.sampled_from(["2026-11", "2026-11-30", "total"]),
        st.integers(0, 10**18),
        st.dictionaries(st.text(), reservations),
        st.frozensets(st.sampled_from([50, 80, 100])),
    )
)
def test_account_survives_its_stored_form(account: Account) -> None:
    assert accounts.decode(accounts.encode(account)) == account


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"{}",
        b"[]",
        b'{"period":"","spent":0,"reservations":{},"notified":[]}',
        b'{"period":"2026-13","spent":0,"reservations":{},"notified":[]}',
        b'{"period":"total","spent":"0","reservations":{},"notified":[]}',
        b'{"period":"total","spent":0,"reservations":{"a":[1]},"notified":[]}',
        b'{"period":"total","spent":0,"reservations":{"a":{}},"notified":[]}',
        b'{"period":"total","spent":0,"reservations":{},"notified":[null]}',
        b"\xff",
    ],
)
def test_damaged_account_is_a_value_error(stored: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the kind is what callers handle
        accounts.decode(stored)


# ---- periods


@pytest.mark.parametrize(
    ("period", "name", "start", "end"),
    [
        (BudgetPeriod.DAY, "2026-11-30", datetime(2026, 11, 30, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        (BudgetPeriod.MONTH, "2026-11", datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        (BudgetPeriod.TOTAL, "total", datetime(1970, 1, 1, tzinfo=UTC), None),
    ],
)
def test_period_of_a_time(period: BudgetPeriod, name: str, start: datetime, end: datetime | None) -> None:
    assert periods.name_of(period, NOON) == name
    assert periods.start_of(name) == int(start.timestamp()) * 1000
    assert periods.end_of(period, NOON) == end


def test_month_ends_with_the_year() -> None:
    last = int(datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()) * 1000 + 999
    assert periods.end_of(BudgetPeriod.MONTH, last) == datetime(2027, 1, 1, tzinfo=UTC)
    assert periods.name_of(BudgetPeriod.MONTH, last + 1) == "2027-01"


@pytest.mark.parametrize(
    ("held", "wanted", "covered"),
    [
        ("", "2026-11", False),
        ("2026-11", "2026-11", True),
        ("2026-10", "2026-11", False),
        ("2026-12", "2026-11", True),
        ("2026-11-30", "2026-11", False),
        ("total", "2026-11", False),
        ("total", "total", True),
    ],
)
def test_account_covers_its_period_and_earlier_ones_of_the_kind(held: str, wanted: str, covered: bool) -> None:
    assert periods.covers(held, wanted) is covered
