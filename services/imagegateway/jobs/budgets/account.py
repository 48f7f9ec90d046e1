"""Budget account: what a key or a tenant has spent in a period, and what its unfinished jobs may cost.

Amounts are whole nano-dollars (1e-9 US dollars). An account is a value: each change returns a new one, and repeating
a change is harmless.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import orjson
from imagegateway.jobs.budgets import periods

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_RESERVATIONS: Final = 8_000
"""Most reservations of an account: its document stays below NATS's default `max_payload` of 1 MiB."""
_TAG_LENGTH: Final = 8


class OverBudgetError(Exception):
    """The budget has no room for a reservation. `account`: the account without it."""

    def __init__(self, account: Account) -> None:
        super().__init__("over budget")
        self.account = account


class TooManyReservationsError(Exception):
    """The account holds `MAX_RESERVATIONS`."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Reservation for one job. Calls with one idempotency key share a job, and hold its reservation together."""

    amount: int
    holders: Mapping[str, str]
    """Replicas by the tags of their submissions, which may still write the job."""


@dataclass(frozen=True, slots=True)
class Account:
    """Account in one period."""

    period: str = ""
    """Name of the period that `spent` belongs to. Empty: never opened."""
    spent: int = 0
    """Cost of the jobs that ended in the period."""
    reservations: Mapping[str, Reservation] = field(default_factory=dict)
    """Reservations by job id."""
    notified: frozenset[int] = frozenset()
    """Percentages of the budget whose event is queued."""

    @property
    def reserved(self) -> int:
        """Return the sum of all reservations."""
        return sum(reservation.amount for reservation in self.reservations.values())

    def left(self, limit: int) -> int:
        """Return what a budget leaves for new reservations; negative where costs were higher than their estimates."""
        return limit - self.spent - self.reserved

    def reserve(self, job_id: str, amount: int, *, submission: str, owner: str, limit: int) -> Account:
        """Return the account with a reservation that a submission of the replica `owner` holds.

        Raises OverBudgetError, TooManyReservationsError.
        """
        held = self.reservations.get(job_id)
        tag = tag_of(submission)
        if held is not None:
            if tag in held.holders:
                return self
            return self._with(job_id, replace(held, holders={**held.holders, tag: owner}))
        if amount > 0 and amount > self.left(limit):
            raise OverBudgetError(self)
        if len(self.reservations) >= MAX_RESERVATIONS:
            raise TooManyReservationsError
        return self._with(job_id, Reservation(amount, {tag: owner}))

    def release(self, job_id: str, submission: str) -> Account:
        """Return the account without a submission's hold on a job's reservation."""
        held = self.reservations.get(job_id)
        tag = tag_of(submission)
        if held is None or tag not in held.holders:
            return self
        holders = {other: owner for other, owner in held.holders.items() if other != tag}
        return self._with(job_id, replace(held, holders=holders) if holders else None)

    def drop(self, job_id: str, reservation: Reservation) -> Account:
        """Return the account without a reservation, unless another submission has joined it since."""
        return self._with(job_id, None) if self.reservations.get(job_id) == reservation else self

    def settle(self, job_id: str, submission: str, cost: int, *, ended_at: int) -> Account:
        """Return the account with a job's cost in place of its reservation.

        A job that ended before the period counts in an earlier one. A reservation of other submissions only came
        after the settlement of the job: its own submission may not pay for the job again.
        """
        held = self.reservations.get(job_id)
        if held is None:
            return self
        pays = tag_of(submission) in held.holders and ended_at >= periods.start_of(self.period)
        settled = self._with(job_id, None)
        return replace(settled, spent=settled.spent + cost) if pays else settled

    def with_notified(self, period: str, percent: int) -> Account:
        """Return the account with a percentage whose event is queued, while the period lasts."""
        return replace(self, notified=self.notified | {percent}) if self.period == period else self

    def _with(self, job_id: str, reservation: Reservation | None) -> Account:
        reservations = dict(self.reservations)
        if reservation is None:
            del reservations[job_id]
        else:
            reservations[job_id] = reservation
        return replace(self, reservations=reservations)


def tag_of(submission: str) -> str:
    """Return the tag of a submission in a reservation."""
    return submission[:_TAG_LENGTH]


def encode(account: Account) -> bytes:
    """Return an account as JSON."""
    return orjson.dumps(
        {
            "period": account.period,
            "spent": account.spent,
            "reservations": {
                job_id: [held.amount, *(f"{tag}@{owner}" for tag, owner in held.holders.items())]
                for job_id, held in account.reservations.items()
            },
            "notified": sorted(account.notified),
        }
    )


def decode(value: bytes) -> Account:
    """Return a stored account. Raises ValueError for a malformed one."""
    match orjson.loads(value):
        case {"period": str(period), "spent": int(spent), "reservations": dict(stored), "notified": list(notified)}:
            periods.start_of(period)
            if not all(type(percent) is int for percent in notified):
                raise ValueError("no percentages")
            reservations = {job_id: _reservation(fields) for job_id, fields in stored.items()}
            return Account(period, spent, reservations, frozenset(notified))
        case _:
            raise ValueError("no budget account")


def _reservation(fields: object) -> Reservation:
    match fields:
        case [int(amount), str(first), *others]:
            parts = [str(holder).partition("@") for holder in (first, *others)]
            return Reservation(amount, {tag: owner for tag, _, owner in parts})
        case _:
            raise ValueError("no reservation")
