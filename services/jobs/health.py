"""Routes that keep failing are set aside for a while, and tried again after it; so are those that ask for a pause."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.provider.v1 import provider_service_pb2 as provider

FAILURES: Final = 3
"""Failures in a row after which a route is set aside."""
SECONDS: Final = 60.0
"""How long; then the next call tells whether it is back."""

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
    """This replica's experience with routes and the operator's keys. `clock` gives monotonic seconds."""

    clock: Callable[[], float] = time.monotonic
    _failures: dict[str, int] = field(default_factory=dict)
    _until: dict[str, float] = field(default_factory=dict)
    _quiet: dict[str, float] = field(default_factory=dict)

    def worked(self, route: str) -> None:
        """A call was taken, or has brought something. A wait that the provider asked for stays."""
        self._failures.pop(route, None)
        self._until.pop(route, None)

    def failed(self, route: str, failure: provider.Failed) -> None:
        """Count a failure that is the provider's; refusals and the caller's mistakes say nothing of the route."""
        if failure.reason == ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED:
            until = self.clock() + failure.retry_after.ToTimedelta().total_seconds()
            self._quiet[route] = max(self._quiet.get(route, 0.0), until)
        if failure.reason not in _COUNTED:
            return
        self._failures[route] = self._failures.get(route, 0) + 1
        if self._failures[route] >= FAILURES:
            self._until[route] = self.clock() + SECONDS

    def set_aside(self, route: str) -> bool:
        """Whether another route is to be preferred: this one keeps failing, or has asked to be left alone."""
        return max(self._until.get(route, 0.0), self._quiet.get(route, 0.0)) > self.clock()
