"""Cost of a completed provider call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.platform import logs

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
        """Return the cost of a job's call; None where it is unknown, also after a bug in the price list."""
        try:
            return self._price(record.task, done)
        except Exception:  # noqa: BLE001  a wrong price must not lose an image that is billed
            _log.exception("job_price_crashed", job_id=record.id)
            return None
