"""The budget of request bodies in memory: what is over it is refused, and no tenant can have all of it."""

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
    """Counts the bytes of bodies that this process holds. A tenant may have half of `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: Counter[str] = Counter()

    @contextmanager
    def hold(self, tenant: str) -> Iterator[HeldBody]:
        """Return the account of one body, which is closed when the context ends."""
        body = HeldBody(self, tenant)
        try:
            yield body
        finally:
            self._held[tenant] -= body.size
            if not self._held[tenant]:
                del self._held[tenant]

    def reserve(self, tenant: str, size: int) -> None:
        """Count further bytes of a tenant. Raises GatewayError OVERLOADED, and counts nothing then."""
        if self._held.total() + size > self._limit:
            raise _overloaded("The gateway holds too many request bodies; try again.")
        if self._held[tenant] + size > self._limit // 2:
            raise _overloaded("The gateway holds too many of your request bodies; send fewer at once.")
        self._held[tenant] += size


@dataclass(slots=True)
class HeldBody:
    """The bytes of one body."""

    _budget: BodyBudget
    _tenant: str
    size: int = 0

    def grow(self, size: int) -> None:
        """Count further bytes. Raises GatewayError OVERLOADED."""
        self._budget.reserve(self._tenant, size)
        self.size += size


def _overloaded(message: str) -> GatewayError:
    return GatewayError(ErrorReason.ERROR_REASON_OVERLOADED, message, retry_after=1.0)
