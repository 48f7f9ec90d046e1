"""Steps that run beside their caller."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from imagegateway.platform import logs
from imagegateway.platform.supervision import cancel

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

T = TypeVar("T")

_log = logs.get(__name__)


class BackgroundTasks:
    """Tasks that the process owns, whoever waits for them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __iter__(self) -> Iterator[asyncio.Task[Any]]:
        return iter(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """Begin a step. What it raises is logged."""
        self._own(asyncio.create_task(_guarded(work)))

    async def complete(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns, or raise what it raises. It goes on when its caller is cancelled."""
        return await asyncio.shield(self._own(asyncio.create_task(work)))

    async def drain(self, seconds: float) -> None:
        """Wait at most `seconds` for all tasks, then cancel those that are left."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            await cancel(*late)

    def _own(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _guarded(work: Coroutine[Any, Any, object]) -> None:
    try:
        await work
    except Exception:  # noqa: BLE001  the last place where a background step can be heard
        _log.exception("background_step_crashed")
