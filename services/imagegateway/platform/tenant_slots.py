"""Slots for work of many tenants: so many at once, so many of them for one tenant, and tenants take turns."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@dataclass(slots=True, eq=False)
class _Ticket:
    """A request for slots that waits, or is granted."""

    count: int
    granted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class TenantSlots:
    """A pool of slots: a semaphore with weights. A slot is one piece of work, one byte or one pixel."""

    def __init__(self, total: int, each: int) -> None:
        """`total`: slots of the pool; `each`: slots that one tenant may hold at once."""
        self._free = total
        self._each = each
        self._held: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[_Ticket]] = OrderedDict()
        """By tenant, in the order of their turns."""

    async def acquire(self, tenant: str, count: int = 1) -> Callable[[], None]:
        """Wait for slots, and return the function that gives them back, to be called once.

        A request for more than a tenant may hold takes all that it may hold.
        """
        ticket = _Ticket(min(count, self._each))
        self._waiting.setdefault(tenant, deque()).append(ticket)
        self._grant()
        try:
            await ticket.granted
        except asyncio.CancelledError:
            if ticket.granted.cancelled():
                self._leave(tenant, ticket)
            else:
                self._give_back(tenant, ticket)
            raise
        return partial(self._give_back, tenant, ticket)

    @asynccontextmanager
    async def hold(self, tenant: str, count: int = 1) -> AsyncIterator[None]:
        """Take slots as `acquire` does, and hold them while the context lasts."""
        give_back = await self.acquire(tenant, count)
        try:
            yield
        finally:
            give_back()

    def _give_back(self, tenant: str, ticket: _Ticket) -> None:
        self._free += ticket.count
        self._held[tenant] -= ticket.count
        if not self._held[tenant]:
            del self._held[tenant]
        self._grant()

    def _leave(self, tenant: str, ticket: _Ticket) -> None:
        waiting = self._waiting.get(tenant, deque())
        if ticket in waiting:
            waiting.remove(ticket)
            if not waiting:
                del self._waiting[tenant]
        self._grant()

    def _grant(self) -> None:
        """Grant free slots in turn. The next one waits for room before all others, or it starves."""
        while (tenant := self._next()) is not None and self._waiting[tenant][0].count <= self._free:
            waiting = self._waiting.pop(tenant)
            ticket = waiting.popleft()
            if waiting:
                self._waiting[tenant] = waiting  # behind the others
            if not ticket.granted.done():  # else its waiter was cancelled just now
                self._free -= ticket.count
                self._held[tenant] += ticket.count
                ticket.granted.set_result(None)

    def _next(self) -> str | None:
        """Return the tenant whose turn it is, if any may hold what it asks for next."""
        return next(
            (
                tenant
                for tenant, waiting in self._waiting.items()
                if self._held[tenant] + waiting[0].count <= self._each
            ),
            None,
        )
