"""Steps that run beside their caller."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from services.common import logs

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

_log = logs.get(__name__)


class Background:
    """Steps that run beside their caller; what goes wrong in one is logged."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[asyncio.Task[None]]:
        return iter(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """Begin a step."""
        task = asyncio.create_task(_guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Wait until all steps are over, for so long at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)


async def _guarded(work: Coroutine[Any, Any, object]) -> None:
    try:
        await work
    except Exception:  # noqa: BLE001  the last place where a background step can be heard
        _log.exception("background_step_crashed")
