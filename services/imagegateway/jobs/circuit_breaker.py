"""Circuit breakers: a model's route that keeps failing, or asks for a pause, is set aside and tried again later.

Each model has its own breaker on each route, so that failures of one model close no route for others. A failure that
one tenant's requests may have caused sets the route aside for that tenant only, until another tenant sees one, too.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from imagegateway.providers.kit.parsing import LONGEST_WAIT
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.provider.v1 import provider_service_pb2 as provider

FAILURES: Final = 3
"""Failures in a row after which a route is set aside."""
SECONDS: Final = 60.0
"""How long it is; then calls go by it again, and the next failure sets it aside anew."""
WINDOW_SECONDS: Final = 600.0
"""Failures that lie further apart do not add up."""

_OF_ROUTE: Final = frozenset(
    {
        ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        ErrorReason.ERROR_REASON_PROVIDER_BILLING,
    }
)
"""Failures that no request causes: the provider is away, or refuses the operator's key."""
_OF_CALL: Final = frozenset({ErrorReason.ERROR_REASON_PROVIDER_ERROR, ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT})
"""Failures that may be the route's fault or the request's."""


@dataclass(slots=True)
class _Breaker:
    """One model by one route. Times are the clock's."""

    failures: deque[tuple[float, str | None]] = field(default_factory=lambda: deque(maxlen=FAILURES))
    """The latest ones in a row: when, and which tenant saw it; None: it was no request's fault."""
    open_until: float = 0.0
    open_for: dict[str, float] = field(default_factory=dict)
    """Tenants for whom alone it is open, and until when."""
    paused_until: float = 0.0


@dataclass(slots=True)
class CircuitBreakers:
    """This replica's experience with models' routes and the operator's keys. `clock` gives monotonic seconds."""

    clock: Callable[[], float] = time.monotonic
    _breakers: dict[tuple[str, str], _Breaker] = field(default_factory=dict)

    def worked(self, model: str, route: str) -> None:
        """Close a breaker: a call was taken, or has brought something. A pause that the provider asked for stays."""
        breaker = self._breakers.get((model, route))
        if breaker:
            breaker.failures.clear()
            breaker.open_until = 0.0
            breaker.open_for.clear()

    def failed(self, tenant: str, model: str, route: str, failure: provider.Failed) -> None:
        """Count a failure that may be the provider's; refusals and the caller's mistakes say nothing of the route."""
        now = self.clock()
        breaker = self._breakers.setdefault((model, route), _Breaker())
        if failure.reason == ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED:
            wait = min(failure.retry_after.ToTimedelta().total_seconds(), LONGEST_WAIT)
            breaker.paused_until = max(breaker.paused_until, now + wait)
        if failure.reason not in _OF_ROUTE | _OF_CALL:
            return
        while breaker.failures and breaker.failures[0][0] <= now - WINDOW_SECONDS:
            breaker.failures.popleft()
        breaker.failures.append((now, tenant if failure.reason in _OF_CALL else None))
        if len(breaker.failures) < FAILURES:
            return
        if {source for _, source in breaker.failures} == {tenant}:
            breaker.open_for = {name: until for name, until in breaker.open_for.items() if until > now}
            breaker.open_for[tenant] = now + SECONDS
        else:
            breaker.open_until = now + SECONDS

    def is_open(self, tenant: str, model: str, route: str) -> bool:
        """Return whether a tenant's calls of a model should prefer another route."""
        breaker = self._breakers.get((model, route))
        if breaker is None:
            return False
        return max(breaker.open_until, breaker.paused_until, breaker.open_for.get(tenant, 0.0)) > self.clock()
