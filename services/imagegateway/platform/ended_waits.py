"""Waits that an event elsewhere ends early, such as the revocation of a key."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class EndedWaits:
    """Waits in progress that end together."""

    def __init__(self) -> None:
        self._limits: set[asyncio.Timeout] = set()

    def wait(self, end: float | None, error: Callable[[], Exception]) -> EndedWait:
        """Return the context of a wait that ends at a time of the event loop; None: at no time that is known yet.

        The end cancels the body, and raises the error.
        """
        return EndedWait(self._limits, asyncio.timeout_at(end), error)

    def end_at(self, end: float | None) -> None:
        """Change the end of all waits in progress."""
        for limit in self._limits:
            limit.reschedule(end)


class EndedWait:
    """One wait, as `EndedWaits.wait` describes it. The body must run in one task, without a yield."""

    __slots__ = ("_error", "_limit", "_limits")

    def __init__(self, limits: set[asyncio.Timeout], limit: asyncio.Timeout, error: Callable[[], Exception]) -> None:
        self._limits = limits
        self._limit = limit
        self._error = error

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()
        self._limits.add(self._limit)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._limits.discard(self._limit)
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:
            raise self._error() from None
