"""Budget settlement: settles each job of this replica as soon as its cost is final."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.platform import logs
from imagegateway.platform.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.background_tasks import BackgroundTasks
    from imagegateway.jobs.budgets.ledger import BudgetLedger
    from imagegateway.jobs.budgets.thresholds import BudgetThresholds
    from imagegateway.jobs.stream import Entry

_log = logs.get(__name__)


class BudgetSettlement:
    """Settles jobs, and announces the thresholds that their costs reach.

    `owner`: this replica's id as an owner of jobs. `thresholds`: None without a receiver of events.
    """

    def __init__(
        self, ledger: BudgetLedger, thresholds: BudgetThresholds | None, tasks: BackgroundTasks, owner: str
    ) -> None:
        self._ledger = ledger
        self._thresholds = thresholds
        self._tasks = tasks
        self._owner = owner

    def on_change(self, entry: Entry) -> None:
        """Settle a job of this replica in the background, once it has ended and its provider call is closed."""
        if entry.closed and entry.record.owner == self._owner:
            accounts = list(self._ledger.accounts_holding(entry.record))
            if accounts:
                self._tasks.spawn(self._settle_now(entry.record, accounts))

    async def settle(self, record: JobRecord, accounts: Iterable[str]) -> None:
        """Settle a closed job on these accounts. Idempotent. Raises UnavailableError."""
        for name in accounts:
            account = await self._ledger.settle(name, record)
            if self._thresholds:
                await self._thresholds.announce(name, account, record)

    async def _settle_now(self, record: JobRecord, accounts: Iterable[str]) -> None:
        try:
            await self.settle(record, accounts)
        except UnavailableError as error:
            _log.warning("budget_settlement_postponed", job_id=record.id, error=str(error))  # the sweep settles
