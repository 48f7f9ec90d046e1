"""Repeated attempts while a server does not answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

import nats.errors
from imagegateway.platform.errors import UnansweredError
from imagegateway.platform.readiness import ELECTION_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RETRY_SECONDS: Final = 0.2
"""Pause after a read that NATS did not answer."""
_T = TypeVar("_T")


async def repeat(
    attempt: Callable[[], Awaitable[_T]], silence: type[Exception], is_over: Callable[[], bool], pause: float
) -> _T:
    """Return the result of an idempotent attempt. Repeat the attempt, with pauses in seconds, after `silence`.

    Raises the exception of the last attempt as soon as `is_over` returns True.
    """
    while True:
        try:
            return await attempt()
        except silence:
            if is_over():
                raise
        await asyncio.sleep(pause)


async def read(attempt: Callable[[], Awaitable[_T]], outage: asyncio.Event | None, message: str) -> _T:
    """Return the result of a read from NATS. Repeat the read during an election, but not while `outage` is set.

    Raises UnansweredError with the message.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + ELECTION_SECONDS

    async def answered() -> _T:
        try:
            return await attempt()
        except (nats.errors.Error, OSError) as error:
            raise UnansweredError(message) from error

    def is_over() -> bool:
        return loop.time() > deadline or (outage is not None and outage.is_set())

    return await repeat(answered, UnansweredError, is_over, RETRY_SECONDS)
