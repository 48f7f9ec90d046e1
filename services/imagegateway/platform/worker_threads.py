"""Worker threads: blocking work beside an event loop.

A way to a thread and back costs half of that through ThreadPoolExecutor, whose futures have locks, and are
copied to futures of the event loop.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_Work: TypeAlias = "tuple[asyncio.AbstractEventLoop, asyncio.Future[Any], Callable[[], Any]]"
_Inbox: TypeAlias = "SimpleQueue[_Work | None]"


class WorkerThreads:
    """At most `most` threads, started when needed. They end with this object, after the work that waits."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._started = 0
        self._schedule = _Schedule()
        weakref.finalize(self, self._schedule.end)

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run blocking work in a thread. Cancelling the future drops work that has not started."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if not self._schedule.add((loop, future, work)) and self._started < self._most:
            name = f"{self._name}_{self._started}"
            threading.Thread(target=_serve, args=(self._schedule,), name=name, daemon=True).start()
            self._started += 1
        return future


class _Schedule:
    """Work that waits for a thread, and threads that wait for work.

    Each thread has a separate queue: of the threads at one queue, CPython 3.11 and 3.12 wake a second one for each
    piece of work, which finds nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[_Work] = deque()
        self._idle: list[_Inbox] = []
        """Queues of the threads that wait for work, the last one to begin its wait at the end."""
        self._ended = False

    def add(self, work: _Work) -> bool:
        """Pass work to a thread that waits for it. Without one, keep the work, and return False."""
        with self._lock:
            if self._idle:
                self._idle.pop().put(work)
                return True
            self._waiting.append(work)
            return False

    def take(self, inbox: _Inbox) -> _Work | None:
        """Return the next work, for the thread of `inbox`. Blocks. Return None once no more work will come."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._idle.append(inbox)
        return None if self._ended else inbox.get()

    def end(self) -> None:
        """End the threads once no work waits.

        Takes no lock: a garbage collection calls this anywhere, also while its thread holds the lock.
        """
        self._ended = True
        for inbox in list(self._idle):
            inbox.put(None)


def _serve(schedule: _Schedule) -> None:
    """Work until the end of the schedule. While the thread waits, it keeps nothing of the last work."""
    inbox: _Inbox = SimpleQueue()
    while _work_once(schedule, inbox):
        pass


def _work_once(schedule: _Schedule, inbox: _Inbox) -> bool:
    """Take a piece of work, and do it. Return False at the end of the schedule."""
    found = schedule.take(inbox)
    if found is None:
        return False
    loop, future, work = found
    result: Any = None
    error: BaseException | None = None
    if not future.cancelled():
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001  raised where the future is awaited
            error = raised
    with suppress(RuntimeError):  # no task waits for a closed loop
        loop.call_soon_threadsafe(_settle, future, result, error)
    return True


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    """End a piece of work. Runs in its event loop."""
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
