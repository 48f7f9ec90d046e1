"""Background tasks that the process owns, independent of their callers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from imagegateway.platform import logs
from imagegateway.platform.supervision import cancel

if TYPE_CHECKING:
    from collections.abc import Coroutine

_T = TypeVar("_T")
_log = logs.get(__name__)


class BackgroundTasks:
    """A set of running tasks."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[Any]:
        """Start a task, and return it. Log its exception."""
        task = self._own(asyncio.create_task(work))
        task.add_done_callback(_log_crash)
        return task

    async def complete(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return the result of `work`. The task continues when its caller is cancelled."""
        return await asyncio.shield(self._own(asyncio.create_task(work)))

    async def drain(self, seconds: float) -> None:
        """Wait at most `seconds` for all tasks, then cancel the others."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            await cancel(*late)

    async def cancel(self) -> None:
        """Cancel all tasks, and wait until they have ended."""
        await cancel(*self._tasks)

    def _own(self, task: asyncio.Task[_T]) -> asyncio.Task[_T]:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _log_crash(task: asyncio.Task[Any]) -> None:
    """Log the exception of a task: no caller awaits it."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.error("background_task_crashed", exc_info=error)
