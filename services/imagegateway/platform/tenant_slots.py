"""Weighted semaphore that is fair between tenants: a total limit, a limit for each tenant, and alternating grants."""

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
    """Request for slots, waiting or granted."""

    count: int
    granted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class TenantSlots:
    """Pool of slots. A slot is one piece of work, one byte or one pixel."""

    def __init__(self, total: int, each: int) -> None:
        """Limit all tenants together to `total` slots, and each tenant to `each` slots."""
        self._free = total
        self._each = each
        self._held: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[_Ticket]] = OrderedDict()
        """Requests by tenant, the next tenant first."""

    async def acquire(self, tenant: str, count: int = 1) -> Callable[[], None]:
        """Wait for slots, and return the function that releases them. Call it once.

        A request above the tenant's limit acquires the tenant's limit.
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
                self._release(tenant, ticket)
            raise
        return partial(self._release, tenant, ticket)

    @asynccontextmanager
    async def hold(self, tenant: str, count: int = 1) -> AsyncIterator[None]:
        """Acquire slots for the duration of the context."""
        release = await self.acquire(tenant, count)
        try:
            yield
        finally:
            release()

    def _release(self, tenant: str, ticket: _Ticket) -> None:
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
        """Grant free slots to tenants alternately. A large request blocks later ones, otherwise it starves."""
        while (tenant := self._next()) is not None and self._waiting[tenant][0].count <= self._free:
            waiting = self._waiting.pop(tenant)
            ticket = waiting.popleft()
            if waiting:
                self._waiting[tenant] = waiting  # after the other tenants
            if not ticket.granted.done():  # a done future belongs to a cancelled waiter
                self._free -= ticket.count
                self._held[tenant] += ticket.count
                ticket.granted.set_result(None)

    def _next(self) -> str | None:
        """Return the first tenant whose next request is within its limit."""
        return next(
            (
                tenant
                for tenant, waiting in self._waiting.items()
                if self._held[tenant] + waiting[0].count <= self._each
            ),
            None,
        )
