"""Budget ledger: reserves the estimates of jobs on the accounts of their key and tenant, and settles them.

Only accounts with a budget are read or written. An account changes by compare-and-set, so the replicas together never
reserve more than a budget. A job's record is the truth about its cost, and one write removes the reservation and adds
the cost: a crash leaves a reservation, which the sweep settles later (`sweep`), and never a second cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from imagegateway.jobs.budgets import errors, periods
from imagegateway.jobs.budgets.account import (
    Account,
    OverBudgetError,
    Reservation,
    TooManyReservationsError,
    decode,
    encode,
    tag_of,
)
from imagegateway.jobs.budgets.budget import Budget
from imagegateway.jobs.stream_errors import OutcomeUnknownError, unavailable
from imagegateway.keys.policy import NO_LIMITS, key_account, tenant_account
from imagegateway.platform import logs
from imagegateway.platform.clock import unix_millis
from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.money import NANO, nanodollars
from imagegateway.platform.shared_documents import SharedDocuments

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Iterator

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.feed import JobFeed
    from imagegateway.keys.policy import Quota
    from nats.js.kv import KeyValue

    QuotaOf = Callable[[str], Quota]
    """Returns the limits of the key with an id, or those of the tenant with a name."""

BUCKET: Final = "budgets"
_log = logs.get(__name__)


def _no_limits(_owner: str) -> Quota:
    return NO_LIMITS


@dataclass(frozen=True, slots=True)
class BudgetPolicy:
    """Rules of all budgets. The functions are called for each job, so a changed budget holds from the next job on."""

    key_quota: QuotaOf = _no_limits
    tenant_quota: QuotaOf = _no_limits
    allow_unpriced: bool = False
    """True: models without a known price run under a budget, too, and count once their cost is known."""


class SpendHistory(Protocol):
    """Costs of ended jobs."""

    async def spent(self, *, tenant: str, key_id: str, since: int, without: Collection[str]) -> int:
        """Return the cost in nano-dollars of a tenant's jobs that ended from a day on, before the call.

        `since`: first instant of the day in Unix milliseconds. `key_id`: only jobs of this key; empty: all.
        `without`: ids of jobs to leave out. Raises UnavailableError.
        """
        ...


class BudgetLedger:
    """Budgets of all keys and tenants, as this replica changes them."""

    def __init__(
        self,
        kv: KeyValue,
        *,
        policy: BudgetPolicy,
        history: SpendHistory,
        feed: JobFeed,
        clock: Callable[[], int] = unix_millis,
        outage: asyncio.Event | None = None,
    ) -> None:
        """`clock`: Unix milliseconds. `outage` as in SharedDocuments."""
        self._accounts = SharedDocuments(kv, empty=Account(), encode=encode, decode=decode, outage=outage)
        self._policy = policy
        self._history = history
        self._feed = feed
        self._clock = clock

    async def close(self) -> None:
        """Cancel the writes in progress."""
        await self._accounts.close()

    async def reserve(self, record: JobRecord) -> None:
        """Reserve a new job's estimate on its accounts. Idempotent for one submission.

        Raises GatewayError: BUDGET_EXCEEDED, PRICE_UNKNOWN, OVERLOADED, SERVICE_UNAVAILABLE. Nothing stays reserved
        after an error.
        """
        try:
            for budget in self.budgets(record.key_id, record.tenant):
                await self._reserve(budget, record)
        except UnavailableError as error:
            await self.release(record)
            raise error.as_gateway_error() from error
        except Exception:
            await self.release(record)
            raise

    async def check(self, record: JobRecord) -> None:
        """Raise as `reserve` does for a job that its budgets do not leave now, without a reservation."""
        for budget in self.budgets(record.key_id, record.tenant):
            self._require_price(budget, record)
            at = self._clock()
            period = periods.name_of(budget.period, at)
            account = await self._accounts.read(budget.account)
            if not periods.covers(account.period, period):
                account = Account(period, await self.spent(budget))
            amount = nanodollars(record.estimate)
            if amount > 0 and amount > account.left(budget.limit):
                raise errors.budget_exceeded(budget, account, amount, at)

    async def release(self, record: JobRecord) -> None:
        """Release the reservation of a submission whose job was not written. Idempotent.

        The sweep releases a reservation that can't be released now.
        """
        try:
            for account in self.accounts_holding(record):
                await self._accounts.change(account, lambda held: (held.release(record.id, record.submission), None))
        except UnavailableError as error:
            _log.warning("budget_release_postponed", job_id=record.id, error=str(error))

    async def settle(self, name: str, record: JobRecord) -> Account:
        """Replace the reservation of an ended job without an open call by its cost. Idempotent.

        `name`: one of the job's accounts. Return the account. Raises UnavailableError.
        """

        def step(account: Account) -> tuple[Account, Account]:
            settled = _after(account, record)
            return settled, settled

        return await self._accounts.change(name, step)

    async def drop(self, name: str, job_id: str, reservation: Reservation) -> None:
        """Release the reservation of a job that was never written, unless another submission has joined it.

        Raises UnavailableError.
        """
        await self._accounts.change(name, lambda account: (account.drop(job_id, reservation), None))

    async def mark_notified(self, name: str, period: str, percent: int) -> None:
        """Note that the event of a percentage is queued. Raises UnavailableError."""
        await self._accounts.change(name, lambda account: (account.with_notified(period, percent), None))

    def accounts_holding(self, record: JobRecord) -> Iterator[str]:
        """Return the accounts that hold a job's reservation, as far as this replica knows.

        An account with a budget may hold one before this replica reads it, too.
        """
        budgeted = {budget.account for budget in self.budgets(record.key_id, record.tenant)}
        for name in (key_account(record.key_id), tenant_account(record.tenant)):
            account = self._accounts.last_known(name)
            if name in budgeted if account is None else record.id in account.reservations:
                yield name

    def left(self, record: JobRecord) -> int | None:
        """Return the rest of the smaller budget of a job's key and tenant, in nano-dollars; None without a budget.

        The last amount that this replica knows, with the cost of this job once it has ended.
        """
        known = (
            (budget, self._accounts.last_known(budget.account))
            for budget in self.budgets(record.key_id, record.tenant)
        )
        return min((_after(account, record).left(budget.limit) for budget, account in known if account), default=None)

    async def spent(self, budget: Budget) -> int:
        """Return the cost of the jobs that ended in the budget's present period, in nano-dollars.

        Raises UnavailableError.
        """
        period = periods.name_of(budget.period, self._clock())
        account = await self._accounts.read(budget.account)
        if periods.covers(account.period, period):
            return account.spent
        return await self._history.spent(
            tenant=budget.tenant, key_id=budget.key_id, since=periods.start_of(period), without=()
        )

    def budgets(self, key_id: str, tenant: str) -> list[Budget]:
        """Return the budgets that hold for a key: its own, and its tenant's."""
        quotas = ((key_id, self._policy.key_quota(key_id)), ("", self._policy.tenant_quota(tenant)))
        return [
            Budget(tenant, owner, round(quota.budget * NANO), quota.budget_period)
            for owner, quota in quotas
            if quota.budget is not None
        ]

    def _require_price(self, budget: Budget, record: JobRecord) -> None:
        if not record.HasField("estimate") and not self._policy.allow_unpriced:
            raise errors.price_unknown(budget, record)

    async def _reserve(self, budget: Budget, record: JobRecord) -> None:
        self._require_price(budget, record)
        amount = nanodollars(record.estimate)
        while True:
            at = self._clock()
            period = periods.name_of(budget.period, at)

            def step(account: Account, period: str = period) -> tuple[Account, bool]:
                if not periods.covers(account.period, period):
                    return account, False
                reserved = account.reserve(
                    record.id, amount, submission=record.submission, owner=record.owner, limit=budget.limit
                )
                return reserved, True

            try:
                if await self._accounts.change(budget.account, step):
                    return
            except OverBudgetError as error:
                raise errors.budget_exceeded(budget, error.account, amount, at) from None
            except TooManyReservationsError:
                raise errors.too_many_reservations(budget) from None
            await self._open(budget, period)

    async def _open(self, budget: Budget, period: str) -> None:
        """Begin a period of an account, unless another replica has: the first one of a budget, a new or another one.

        Each job of the period counts once: unfinished ones, and those whose reservation is not settled yet, by a
        reservation; all others by the history. Raises UnavailableError, GatewayError.
        """
        try:
            await self._feed.catch_up()
        except OutcomeUnknownError:
            raise unavailable() from None
        unfinished = {
            record.id: Reservation(nanodollars(record.estimate), {tag_of(record.submission): record.owner})
            async for record in self._feed.live.unfinished()
            if budget.is_of(record)
        }
        reservations = {**unfinished, **(await self._accounts.read(budget.account)).reservations}
        spent = await self._history.spent(
            tenant=budget.tenant,
            key_id=budget.key_id,
            since=periods.start_of(period),
            without=reservations.keys(),
        )

        def step(account: Account) -> tuple[Account, None]:
            if periods.covers(account.period, period) or not account.reservations.keys() <= reservations.keys():
                return account, None
            return Account(period, spent, reservations | dict(account.reservations)), None

        await self._accounts.change(budget.account, step)


def _after(account: Account, record: JobRecord) -> Account:
    """Return the account as it is, or will be, once a job that has ended is settled."""
    if not record.completed_at or record.call_open:
        return account
    return account.settle(record.id, record.submission, nanodollars(record.cost), ended_at=record.completed_at)
