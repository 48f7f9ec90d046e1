"""Circuit breakers of model routes.

A closed breaker opens after three consecutive failures, or when the provider asks for a pause. An open breaker makes
calls prefer another route. After its cooldown it is half-open: calls use the route again; the next failure reopens
the breaker and a success closes it.

Each model has its own breaker on each route, so failures of one model block no other. A failure that a request may
have caused opens the breaker for its tenant only, until another tenant sees such a failure as well.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from imagegateway.providers.kit.parsing import LONGEST_WAIT
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.provider.v1 import provider_service_pb2 as provider

FAILURE_THRESHOLD: Final = 3
"""Consecutive failures that open a breaker."""
COOLDOWN_SECONDS: Final = 60.0
"""Time for which a breaker stays open."""
WINDOW_SECONDS: Final = 600.0
"""Age from which a failure no longer counts."""

_ROUTE_FAILURES: Final = frozenset(
    {
        ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        ErrorReason.ERROR_REASON_PROVIDER_BILLING,
    }
)
"""Failures that no request causes: the provider is unreachable, or refuses the operator's key."""
_REQUEST_FAILURES: Final = frozenset(
    {ErrorReason.ERROR_REASON_PROVIDER_ERROR, ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT}
)
"""Failures that either the route or the request may cause."""


@dataclass(slots=True)
class _Breaker:
    """Breaker of one model on one route. All times are the clock's."""

    failures: deque[tuple[float, str | None]] = field(default_factory=lambda: deque(maxlen=FAILURE_THRESHOLD))
    """Latest consecutive failures: time, and tenant whose request may be the cause."""
    open_until: float = 0.0
    open_by_tenant: dict[str, float] = field(default_factory=dict)
    """End of the cooldown for tenants for whom alone the breaker is open."""
    paused_until: float = 0.0
    last_error: ErrorReason.ValueType | None = None


class CircuitState(StrEnum):
    """State of a circuit breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class CircuitReport:
    """A breaker that is open or has seen failures."""

    model: str
    route: str
    state: CircuitState
    open_seconds: float
    """Rest of the cooldown or pause; 0 for a breaker that is not open."""
    failures: int
    """Consecutive failures that count."""
    last_error: ErrorReason.ValueType | None
    """Reason of the last failure; None: only a pause."""


@dataclass(slots=True)
class CircuitBreakers:
    """This replica's breakers of calls with the operator's keys. `clock` returns monotonic seconds."""

    clock: Callable[[], float] = time.monotonic
    _breakers: dict[tuple[str, str], _Breaker] = field(default_factory=dict)

    def record_success(self, model: str, route: str) -> None:
        """Close a breaker: the provider accepted a call or made progress. A pause that it asked for stays."""
        breaker = self._breakers.get((model, route))
        if breaker:
            breaker.failures.clear()
            breaker.open_until = 0.0
            breaker.open_by_tenant.clear()

    def record_failure(self, tenant: str, model: str, route: str, failure: provider.Failed) -> None:
        """Count a failure that the provider may have caused. Refused content and invalid requests do not count."""
        now = self.clock()
        breaker = self._breakers.setdefault((model, route), _Breaker())
        if failure.reason == ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED:
            wait = min(failure.retry_after.ToTimedelta().total_seconds(), LONGEST_WAIT)
            breaker.paused_until = max(breaker.paused_until, now + wait)
        if failure.reason not in _ROUTE_FAILURES | _REQUEST_FAILURES:
            return
        while breaker.failures and breaker.failures[0][0] <= now - WINDOW_SECONDS:
            breaker.failures.popleft()
        breaker.last_error = failure.reason
        breaker.failures.append((now, tenant if failure.reason in _REQUEST_FAILURES else None))
        if len(breaker.failures) < FAILURE_THRESHOLD:
            return
        if {source for _, source in breaker.failures} == {tenant}:
            breaker.open_by_tenant = {name: until for name, until in breaker.open_by_tenant.items() if until > now}
            breaker.open_by_tenant[tenant] = now + COOLDOWN_SECONDS
        else:
            breaker.open_until = now + COOLDOWN_SECONDS

    def is_open(self, tenant: str, model: str, route: str) -> bool:
        """Return whether a tenant's calls of a model should prefer another route."""
        breaker = self._breakers.get((model, route))
        if breaker is None:
            return False
        return max(breaker.open_until, breaker.paused_until, breaker.open_by_tenant.get(tenant, 0.0)) > self.clock()

    def report(self) -> list[CircuitReport]:
        """Return the breakers that are open or have seen failures, sorted by route and model.

        A breaker that is open for one tenant only counts as open.
        """
        found = (self._report_one(model, route, breaker) for (model, route), breaker in self._breakers.items())
        return sorted(
            (each for each in found if each.open_seconds or each.failures), key=lambda each: (each.route, each.model)
        )

    def _report_one(self, model: str, route: str, breaker: _Breaker) -> CircuitReport:
        now = self.clock()
        until = max(breaker.open_until, breaker.paused_until, *breaker.open_by_tenant.values(), 0.0)
        failures = sum(at > now - WINDOW_SECONDS for at, _ in breaker.failures)
        if until > now:
            state = CircuitState.OPEN
        else:
            state = CircuitState.HALF_OPEN if failures >= FAILURE_THRESHOLD else CircuitState.CLOSED
        return CircuitReport(model, route, state, max(0.0, until - now), failures, breaker.last_error)
