"""Slots for work of many tenants: so many at once, so many of them for one tenant, and tenants take turns."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TenantSlots:
    """A pool of slots."""

    def __init__(self, total: int, each: int) -> None:
        """`total`: slots of the pool; `each`: slots that one tenant may hold at once."""
        self._free = total
        self._each = each
        self._held: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        """By tenant, in the order of their turns."""

    @asynccontextmanager
    async def hold(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it while the context lasts."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(granted)
        self._grant()
        try:
            await granted
            yield
        finally:
            if granted.done() and not granted.cancelled():
                self._give_back(tenant)
            else:
                self._leave(tenant, granted)
            self._grant()

    def _give_back(self, tenant: str) -> None:
        self._free += 1
        self._held[tenant] -= 1
        if not self._held[tenant]:
            del self._held[tenant]

    def _leave(self, tenant: str, granted: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(tenant, deque())
        if granted in waiting:
            waiting.remove(granted)
            if not waiting:
                del self._waiting[tenant]

    def _grant(self) -> None:
        """Grant the free slots to those whose turn it is."""
        while self._free and (tenant := self._next()) is not None:
            waiting = self._waiting.pop(tenant)
            granted = waiting.popleft()
            if waiting:
                self._waiting[tenant] = waiting  # behind the others
            if not granted.done():  # else its waiter was cancelled just now
                self._free -= 1
                self._held[tenant] += 1
                granted.set_result(None)

    def _next(self) -> str | None:
        """Return the tenant whose turn it is, if any may hold one more slot."""
        return next((tenant for tenant in self._waiting if self._held[tenant] < self._each), None)
