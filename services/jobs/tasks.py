"""How background tasks end."""

from __future__ import annotations

import asyncio
from typing import Any, Final

_AGAIN_SECONDS: Final = 0.1


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and wait until they are over.

    Once is not enough: in Python 3.11, `wait_for` (and so nats-py) swallows a cancellation that arrives together
    with its result, and the task goes on.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_SECONDS)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # else asyncio complains that nobody looked
