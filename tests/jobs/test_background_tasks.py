"""Background tasks: each one ends with the set, also before its first step."""

from __future__ import annotations

import asyncio
import gc

from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs.background_tasks import BackgroundTasks
from imagegateway.jobs.job_steps import JobSteps


async def test_task_that_is_cancelled_before_its_first_step_leaves_no_coroutine_unawaited() -> None:
    tasks = BackgroundTasks()
    tasks.spawn(asyncio.sleep(60))
    await tasks.cancel()
    gc.collect()  # reports a coroutine that was never awaited, which fails the test


async def test_step_that_is_cancelled_before_it_begins_leaves_its_job_idle() -> None:
    tasks = BackgroundTasks()
    steps = JobSteps(tasks)
    steps.spawn(JobRecord(id="job"), asyncio.sleep(60))
    steps.spawn(JobRecord(id="job"), asyncio.sleep(0))
    assert steps.is_busy("job")
    await tasks.cancel()
    assert steps.idle
    gc.collect()


async def test_job_is_busy_until_its_last_step_ends() -> None:
    tasks = BackgroundTasks()
    steps = JobSteps(tasks)
    first, second = asyncio.Event(), asyncio.Event()
    for event in (first, second):
        steps.spawn(JobRecord(id="job"), event.wait())
    await asyncio.sleep(0)
    first.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert steps.is_busy("job")
    second.set()
    await tasks.drain(5)
    assert not steps.is_busy("job")


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
