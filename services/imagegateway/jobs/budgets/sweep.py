"""Budget sweep: settles and releases reservations that a crash has left.

Every replica sweeps. It trusts only what the stream's leader says about a job, and each change is conditional, so
several sweeps of one reservation count a job once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import nats.errors
from imagegateway.jobs.budgets.account import decode
from imagegateway.jobs.budgets.ledger import BUCKET
from imagegateway.jobs.stream_errors import OutcomeUnknownError
from imagegateway.platform import logs
from imagegateway.platform.clock import unix_millis
from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.kv_mirror import Mirror
from imagegateway.platform.stored_values import Decoder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from imagegateway.jobs.budgets.account import Reservation
    from imagegateway.jobs.budgets.ledger import BudgetLedger
    from imagegateway.jobs.budgets.settlement import BudgetSettlement
    from imagegateway.jobs.feed import JobFeed
    from imagegateway.jobs.job_steps import JobSteps
    from imagegateway.jobs.membership import Membership
    from imagegateway.jobs.stream import JobStream
    from nats.js import JetStreamContext

SWEEP_SECONDS: Final = 10.0
_SETTLING_MILLIS: Final = 5_000
"""Time that the job's own replica has to settle it."""
_log = logs.get(__name__)


class BudgetSweep:
    """Compares the reservations of all accounts with the records of their jobs.

    `accounts` returns the stored accounts by name; they may be some seconds old. `clock`: Unix milliseconds.
    """

    def __init__(
        self,
        *,
        accounts: Callable[[], Awaitable[Mapping[str, bytes]]],
        ledger: BudgetLedger,
        settlement: BudgetSettlement,
        feed: JobFeed,
        stream: JobStream,
        membership: Membership,
        steps: JobSteps,
        clock: Callable[[], int] = unix_millis,
    ) -> None:
        self._accounts = accounts
        self._decoder = Decoder(BUCKET)
        self._ledger = ledger
        self._settlement = settlement
        self._feed = feed
        self._stream = stream
        self._membership = membership
        self._steps = steps
        self._clock = clock

    async def run(self) -> None:
        """Sweep every 10 s without end."""
        while True:
            try:
                await self.sweep()
            except (nats.errors.Error, OSError, OutcomeUnknownError, UnavailableError) as error:
                _log.warning("budget_sweep_failed", error=type(error).__name__)
            await asyncio.sleep(SWEEP_SECONDS)

    async def sweep(self) -> None:
        """Sweep once. Raises UnavailableError, OutcomeUnknownError, and nats.errors.Error or OSError for NATS."""
        for name, value in dict(await self._accounts()).items():
            account = self._decoder.decode(name, value, lambda _name, stored: decode(stored))
            for job_id, reservation in account.reservations.items() if account else ():
                live = self._feed.live.get(job_id)
                if live is None or live.closed:
                    await self._check(name, job_id, reservation)

    async def _check(self, name: str, job_id: str, reservation: Reservation) -> None:
        """Settle the reservation of an ended job, or release that of a job that no replica will write."""
        writable = any(self._may_write(job_id, owner) for owner in reservation.holders.values())
        entry = await self._stream.last(job_id)
        if entry is None:
            if not writable:
                _log.warning("budget_reservation_released", account=name, job_id=job_id)
                await self._ledger.drop(name, job_id, reservation)
        elif entry.closed and self._clock() - entry.record.updated_at > _SETTLING_MILLIS:
            _log.warning("budget_settled_late", account=name, job_id=job_id)
            await self._settlement.settle(entry.record, [name])

    def _may_write(self, job_id: str, owner: str) -> bool:
        """Return whether a submission of a replica may still write its job."""
        if owner == self._membership.owner:
            return self._steps.is_busy(job_id)
        return not self._membership.is_expired(owner)


def stored_accounts(js: JetStreamContext) -> Callable[[], Awaitable[Mapping[str, bytes]]]:
    """Return a reader of the stored accounts of all budgets."""
    mirror = Mirror(js, BUCKET)

    async def read() -> Mapping[str, bytes]:
        await mirror.update()
        return mirror.values

    return read
