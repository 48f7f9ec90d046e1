"""Body budget: limits the memory of request bodies, in all and for each tenant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegateway.platform.errors import GatewayError
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from typing import Self


class BodyBudget:
    """Limit of the request bodies in this process: `limit` bytes in all, half of them for one tenant."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._reserved = 0
        self._by_tenant: dict[str, int] = {}

    def reservation(self, tenant: str) -> BodyReservation:
        """Return the reservation of one body. The end of its context releases it."""
        return BodyReservation(self, tenant)

    def reserve(self, tenant: str, size: int) -> None:
        """Reserve `size` bytes. Raises GatewayError OVERLOADED, and reserves nothing then."""
        if self._reserved + size > self._limit:
            raise _overloaded("The gateway holds too many request bodies; try again.")
        of_tenant = self._by_tenant.get(tenant, 0) + size
        if of_tenant > self._limit // 2:
            raise _overloaded("The gateway holds too many of your request bodies; send fewer at once.")
        self._reserved += size
        self._by_tenant[tenant] = of_tenant

    def release(self, tenant: str, size: int) -> None:
        """Release reserved bytes."""
        self._reserved -= size
        self._by_tenant[tenant] -= size
        if not self._by_tenant[tenant]:
            del self._by_tenant[tenant]


@dataclass(slots=True)
class BodyReservation:
    """Reserved bytes of one body."""

    _budget: BodyBudget
    _tenant: str
    size: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self.size:
            self._budget.release(self._tenant, self.size)

    def grow(self, size: int) -> None:
        """Reserve `size` further bytes. Raises GatewayError OVERLOADED."""
        self._budget.reserve(self._tenant, size)
        self.size += size


def _overloaded(message: str) -> GatewayError:
    return GatewayError(ErrorReason.ERROR_REASON_OVERLOADED, message, retry_after=1.0)
