"""Body budget: limits the memory of request bodies, in all and for each tenant."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegateway.platform.errors import GatewayError
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterator


class BodyBudget:
    """Limit of the request bodies in this process: `limit` bytes in all, half of them for one tenant."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._reserved: Counter[str] = Counter()

    @contextmanager
    def reservation(self, tenant: str) -> Iterator[BodyReservation]:
        """Return the reservation of one body. The end of the context releases it."""
        reservation = BodyReservation(self, tenant)
        try:
            yield reservation
        finally:
            self._reserved[tenant] -= reservation.size
            if not self._reserved[tenant]:
                del self._reserved[tenant]

    def reserve(self, tenant: str, size: int) -> None:
        """Reserve `size` bytes. Raises GatewayError OVERLOADED, and reserves nothing then."""
        if self._reserved.total() + size > self._limit:
            raise _overloaded("The gateway holds too many request bodies; try again.")
        if self._reserved[tenant] + size > self._limit // 2:
            raise _overloaded("The gateway holds too many of your request bodies; send fewer at once.")
        self._reserved[tenant] += size


@dataclass(slots=True)
class BodyReservation:
    """Reserved bytes of one body."""

    _budget: BodyBudget
    _tenant: str
    size: int = 0

    def grow(self, size: int) -> None:
        """Reserve `size` further bytes. Raises GatewayError OVERLOADED."""
        self._budget.reserve(self._tenant, size)
        self.size += size


def _overloaded(message: str) -> GatewayError:
    return GatewayError(ErrorReason.ERROR_REASON_OVERLOADED, message, retry_after=1.0)
