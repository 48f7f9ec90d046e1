"""Rate limits for tests."""

from __future__ import annotations

from typing import Any

from imagegateway.keys.policy import NO_LIMITS
from imagegateway.keys.rate_limits import RateLimiter
from imagegateway.router.call_limiter import CallLimiter


def unlimited() -> CallLimiter:
    """Return the limiter of keys and tenants without limits, which reads no document."""
    unused: Any = None
    return CallLimiter(RateLimiter(unused, lambda _tenant: NO_LIMITS))
