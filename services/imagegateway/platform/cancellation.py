"""Cancellation of callers whose work can't stop half-way."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")


async def run_to_end(work: Awaitable[T]) -> T:
    """Await work that can't stop half-way, such as a thread. A cancelled caller waits for the end of the work."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # asyncio logs exceptions that are never retrieved
        raise
