"""Worker threads: blocking work beside an event loop.

A way to a thread and back costs half of that through ThreadPoolExecutor, whose futures have locks, and are
copied to futures of the event loop.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_Settle: TypeAlias = "Callable[[asyncio.Future[Any], Any, BaseException | None], None]"
_Work: TypeAlias = "tuple[asyncio.AbstractEventLoop, asyncio.Future[Any], Callable[[], Any], _Settle]"
_Queue: TypeAlias = "SimpleQueue[_Work | None]"


class WorkerThreads:
    """At most `most` threads, started when needed. They end with this object, after the work that waits."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._queue: _Queue = SimpleQueue()
        self._started = 0
        self._unfinished = 0
        weakref.finalize(self, self._queue.put, None)

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run blocking work in a thread. Cancelling the future drops work that has not started."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._unfinished += 1
        if self._started < min(self._unfinished, self._most):
            name = f"{self._name}_{self._started}"
            threading.Thread(target=_serve, args=(self._queue,), name=name, daemon=True).start()
            self._started += 1
        self._queue.put((loop, future, work, self._settle))
        return future

    def _settle(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        """End a piece of work. Runs in its event loop."""
        self._unfinished -= 1
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _serve(queue: _Queue) -> None:
    """Work until the end of the queue. While the thread waits, it keeps nothing of the last work."""
    while _work_once(queue):
        pass


def _work_once(queue: _Queue) -> bool:
    """Take a piece of work from the queue. Return False at the end of the queue."""
    found = queue.get()
    if found is None:
        queue.put(None)  # for the other threads
        return False
    loop, future, work, settle = found
    result: Any = None
    error: BaseException | None = None
    if not future.cancelled():
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001  raised where the future is awaited
            error = raised
    with suppress(RuntimeError):  # no task waits for a closed loop
        loop.call_soon_threadsafe(settle, future, result, error)
    return True
