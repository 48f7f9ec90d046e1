"""Slots for work of many tenants: so many at once, so many of them for one tenant, and tenants take turns."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from services.jobs.queue import Claim, Lane, Limits, Queue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LANE: Final = Lane("slots")


class TenantSlots:
    """A pool of slots."""

    def __init__(self, total: int, each: int) -> None:
        """`total`: slots of the pool; `each`: slots that one tenant may hold at once."""
        self._queue = Queue(Limits(routes={}, default=total, tenant=each))
        self._granted: dict[str, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def hold(self, name: str, tenant: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it while the context lasts. `name` is held or waited for once at a time."""
        granted = self._granted[name] = asyncio.get_running_loop().create_future()
        self._queue.wait(Claim(name, _LANE, tenant))
        self._grant()
        try:
            await granted
            yield
        finally:
            del self._granted[name]
            self._queue.leave(name)
            self._queue.end(name)
            self._grant()

    def _grant(self) -> None:
        while (name := self._queue.take()) is not None:
            granted = self._granted[name]
            if not granted.done():  # else its waiter was cancelled, and gives the slot back
                granted.set_result(None)
