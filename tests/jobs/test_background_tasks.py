"""Background tasks: each one ends with the set, also before its first step."""

from __future__ import annotations

import asyncio
import gc

from imagegateway.jobs.background_tasks import BackgroundTasks


async def test_task_that_is_cancelled_before_its_first_step_leaves_no_coroutine_unawaited() -> None:
    tasks = BackgroundTasks()
    tasks.spawn(asyncio.sleep(60))
    await tasks.cancel()
    gc.collect()  # reports a coroutine that was never awaited, which fails the test


async def test_crash_of_a_task_ends_no_other() -> None:
    tasks, ended = BackgroundTasks(), asyncio.Event()

    async def crash() -> None:
        raise ZeroDivisionError

    async def work() -> None:
        await asyncio.sleep(0)
        ended.set()

    tasks.spawn(crash())
    tasks.spawn(work())
    await tasks.drain(5)
    assert ended.is_set()
