"""Worker threads: results, errors, the number of threads, and cancellation."""

from __future__ import annotations

import gc
import threading
import weakref
from functools import partial
from typing import Final

import pytest
from imagegateway.platform.worker_threads import WorkerThreads

_NAME: Final = "test-worker"
_SECONDS: Final = 30.0


def _threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


async def test_work_runs_in_a_thread_of_the_pool_and_returns_its_result() -> None:
    threads = WorkerThreads(2, _NAME)
    assert (await threads.run(lambda: threading.current_thread().name)).startswith(_NAME)


async def test_error_of_work_is_raised_where_its_future_is_awaited() -> None:
    threads = WorkerThreads(2, _NAME)
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)
    assert await threads.run(lambda: "still works") == "still works"


async def test_work_side_by_side_starts_threads_up_to_the_most() -> None:
    threads = WorkerThreads(2, "test-side-by-side")
    together = threading.Barrier(2)
    one, other = (threads.run(partial(together.wait, _SECONDS)) for _ in range(2))
    assert {await one, await other} == {0, 1}
    assert [await threads.run(lambda: 1) for _ in range(5)] == [1] * 5
    assert len(_threads("test-side-by-side")) == 2


async def test_cancelled_work_that_has_not_begun_is_dropped() -> None:
    threads = WorkerThreads(1, _NAME)
    may_end = threading.Event()
    ran: list[str] = []
    first = threads.run(partial(may_end.wait, _SECONDS))
    dropped = threads.run(lambda: ran.append("dropped"))
    dropped.cancel()
    last = threads.run(lambda: ran.append("last"))
    may_end.set()
    assert await first
    await last
    assert ran == ["last"]


async def test_cancelled_work_that_has_begun_ends_without_a_trace() -> None:
    threads = WorkerThreads(1, _NAME)
    began, may_end = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        may_end.wait(_SECONDS)

    cancelled = threads.run(work)
    assert began.wait(_SECONDS)
    cancelled.cancel()
    may_end.set()
    assert await threads.run(lambda: "next") == "next"


async def test_threads_end_with_their_owner_and_keep_no_work_alive() -> None:
    class Resource:
        pass

    threads = WorkerThreads(2, "test-owned")
    resource = Resource()
    kept = weakref.ref(resource)
    assert await threads.run(partial(id, resource)) == id(resource)
    running = _threads("test-owned")
    assert running
    del threads, resource
    gc.collect()
    for thread in running:
        thread.join(_SECONDS)
    assert kept() is None
    assert not any(thread.is_alive() for thread in running)
