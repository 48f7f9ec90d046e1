"""Supervision of a process's background tasks: a task that ends is fatal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from imagegateway.platform import logs

if TYPE_CHECKING:
    from collections.abc import Coroutine

_AGAIN_SECONDS: Final = 0.1
_T = TypeVar("_T")
_log = logs.get(__name__)


class BackgroundTaskError(Exception):
    """A background task ended. The process can't serve without it."""

    def __init__(self, task: str, reason: str) -> None:
        super().__init__(f"{task}: {reason}")
        self.task = task
        """Name of the task."""


class Supervisor:
    """Supervisor of the background tasks of one process, which run until `close`.

    When a task ends earlier, `run` raises BackgroundTaskError. The process then exits with the reason, and its
    process manager restarts it.
    """

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._closing = False
        self._failed = asyncio.Event()
        self.failure: BackgroundTaskError | None = None
        """Error of the first task that ended."""

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Start a task that must not end. The log line of its end carries `name`."""
        task = asyncio.create_task(work, name=name)
        self._tasks[task] = name
        task.add_done_callback(self._on_done)

    async def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Return the result of `work`. Cancel it and raise BackgroundTaskError when a background task ends."""
        task = asyncio.create_task(work)
        failed = asyncio.create_task(self._failed.wait())
        try:
            await asyncio.wait({task, failed}, return_when=asyncio.FIRST_COMPLETED)
            if self.failure:
                raise self.failure
            return task.result()
        finally:
            await cancel(task, failed)

    async def close(self) -> None:
        """Cancel all tasks, and wait for them. Idempotent; further tasks may follow."""
        self._closing = True
        await cancel(*self._tasks)
        self._closing = False

    def _on_done(self, task: asyncio.Task[None]) -> None:
        name = self._tasks.pop(task)
        error = None if task.cancelled() else task.exception()
        if self._closing:
            return
        reason = repr(error) if error else "it was cancelled" if task.cancelled() else "it returned"
        _log.error("background_task_ended", task=name, reason=reason, exc_info=error)
        if self.failure is None:
            self.failure = BackgroundTaskError(name, reason)
            self._failed.set()


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and wait until they have ended.

    Cancel repeatedly: in Python 3.11, `wait_for` (used by nats-py) swallows a cancellation that arrives together with
    its result, and the task continues.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_SECONDS)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # asyncio logs exceptions that are never retrieved


async def cancel_others() -> None:
    """Cancel all other tasks of the loop, and wait until they have ended.

    For the end of a process: `asyncio.run` cancels each task once, and waits without end for one that swallows it.
    """
    await cancel(*(asyncio.all_tasks() - {asyncio.current_task()}))
