"""Repeated attempts while a server does not answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

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
