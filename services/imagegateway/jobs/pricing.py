"""Cost of a completed provider call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.jobs import transitions
from imagegateway.platform import logs
from imagegateway.platform.money import to_cost

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.v1.job_pb2 import Cost

    Price = Callable[[provider.ImageTask, provider.Done], Cost | None]

_log = logs.get(__name__)


class Pricing:
    """Prices calls by the catalog's price list."""

    def __init__(self, price: Price) -> None:
        self._price = price

    def cost(self, record: JobRecord, done: provider.Done) -> Cost | None:
        """Return the cost of a job's call, 0 where the caller's or the tenant's own key paid for it.

        Where the price list knows none, also after a bug in it, return the job's estimate, or None without one.
        """
        if transitions.caller_key(record):
            return to_cost(0, estimated=False)
        try:
            cost = self._price(record.task, done)
        except Exception:  # noqa: BLE001  a wrong price must not lose an image that is billed
            _log.exception("job_price_crashed", job_id=record.id)
            cost = None
        if cost is None and record.HasField("estimate"):
            return record.estimate
        return cost
