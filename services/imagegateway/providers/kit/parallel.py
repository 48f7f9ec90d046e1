"""Parallel awaiting: results in order, and no sibling left running."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

T = TypeVar("T")


async def in_parallel(awaitables: Iterable[Awaitable[T]]) -> list[T]:
    """Return the results of awaitables that run side by side, in their order.

    Raises the first exception that one raises; the others are cancelled and have ended by then.
    """
    works = list(awaitables)
    if len(works) == 1:  # most calls make one image: no task for its steps
        return [await works[0]]
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
