"""Rate limits of calls, and their response headers in OpenAI's format."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from contextlib import AbstractAsyncContextManager

    from imagegateway.keys.api_keys import ApiKey
    from imagegateway.keys.rate_limits import RateLimit, RateLimiter

_MILLISECOND: Final = 10**6


class CallLimiter:
    """Takes the tokens of calls that make jobs, and sets the rate limit headers of every call."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter

    async def set_headers(self, headers: dict[str, str], key: ApiKey) -> None:
        """Set the response headers of a key's limits: `x-ratelimit-{limit,remaining,reset}-{requests,images}`."""
        headers |= rate_headers(await self._limiter.states(key))

    def hold(self, headers: dict[str, str], key: ApiKey, images: int) -> AbstractAsyncContextManager[None]:
        """Take a call's tokens and set its response headers. Return the tokens when the body raises an exception.

        Raises GatewayError and UnavailableError as `RateLimiter.hold` does.
        """
        return self._hold(headers, key, images) if self._limiter.limits(key) else nullcontext()

    @asynccontextmanager
    async def _hold(self, headers: dict[str, str], key: ApiKey, images: int) -> AsyncIterator[None]:
        try:
            async with self._limiter.hold(key, images):
                yield
        finally:
            await self.set_headers(headers, key)


def rate_headers(limits: Iterable[RateLimit]) -> dict[str, str]:
    """Return the headers of the limits that exist."""
    headers: dict[str, str] = {}
    for limit in limits:
        headers[f"x-ratelimit-limit-{limit.measure}"] = str(limit.limit)
        headers[f"x-ratelimit-remaining-{limit.measure}"] = str(limit.remaining)
        headers[f"x-ratelimit-reset-{limit.measure}"] = duration(limit.reset)
    return headers


def duration(nanoseconds: int) -> str:
    """Return a time as OpenAI writes it, rounded up to milliseconds: `20ms`, `8.64s`, `6m0s`, `0s`."""
    milliseconds = math.ceil(nanoseconds / _MILLISECOND)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    seconds = f"{rest / 1000:g}s"
    return f"{minutes}m{seconds}" if minutes else seconds
