"""Routes that keep failing are set aside for a while, and tried again after it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable

FAILURES: Final = 3
"""Failures in a row after which a route is set aside."""
SECONDS: Final = 60.0
"""How long; then one call at a time tells whether it is back."""

_COUNTED: Final = frozenset(
    {
        ErrorReason.ERROR_REASON_PROVIDER_ERROR,
        ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
        ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        ErrorReason.ERROR_REASON_PROVIDER_BILLING,
    }
)


@dataclass(slots=True)
class Health:
    """This replica's experience with routes. `clock` gives monotonic seconds."""

    clock: Callable[[], float] = time.monotonic
    _failures: dict[str, int] = field(default_factory=dict)
    _until: dict[str, float] = field(default_factory=dict)

    def worked(self, route: str) -> None:
        self._failures.pop(route, None)
        self._until.pop(route, None)

    def failed(self, route: str, reason: ErrorReason.ValueType) -> None:
        """Count a failure that is the provider's; refusals and the caller's mistakes say nothing of the route."""
        if reason not in _COUNTED:
            return
        self._failures[route] = self._failures.get(route, 0) + 1
        if self._failures[route] >= FAILURES:
            self._until[route] = self.clock() + SECONDS

    def set_aside(self, route: str) -> bool:
        return self._until.get(route, 0.0) > self.clock()
