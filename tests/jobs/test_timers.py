"""Timers: each job is served when due, in order, however many timers wait."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs.timers import Timers

from tests.jobs.server import until
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable


async def served(timers: Timers, on_due: Callable[[str], None]) -> None:
    """Serve the timers that are due now."""
    running = asyncio.create_task(timers.run(on_due))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.parametrize("seconds", [0.0, 0.1, 1.0, 60.0])
async def test_timers_are_served_in_order_when_due_and_no_earlier(seconds: float) -> None:
    clock = Clock()
    timers = Timers(clock)
    at = clock.now + seconds
    for job_id, delay in (("c", 0.02), ("a", 0.0), ("b", 0.01), ("later", 0.05), ("last", 5.0)):
        timers.set(at + delay, job_id)
    assert timers.due == sorted(timers.due)
    assert len(timers.due) == 5
    found: list[str] = []
    clock.now = at - 0.01
    await served(timers, found.append)
    assert found == []
    clock.now = at + 0.03
    await served(timers, found.append)
    assert found == ["a", "b", "c"]
    assert [job_id in timers for job_id in ("a", "later", "last")] == [False, True, True]
    clock.now = at + 5.01
    await served(timers, found.append)
    assert found == ["a", "b", "c", "later", "last"]
    assert timers.due == []


async def test_timers_of_the_same_time_are_all_served() -> None:
    clock = Clock()
    timers = Timers(clock)
    for job_id in ("a", "b", "a"):
        timers.set(1010.0, job_id)
    found: list[str] = []
    clock.now = 1010.1
    await served(timers, found.append)
    assert sorted(found) == ["a", "a", "b"]
    assert "a" not in timers


async def test_timers_wake_the_coroutine() -> None:
    timers = Timers()
    found: list[str] = []
    running = asyncio.create_task(timers.run(found.append))
    await asyncio.sleep(0)
    timers.set(timers._clock() + 0.05, "near")
    timers.set(timers._clock() + 1.2, "far")
    await until(lambda: found == ["near", "far"])
    running.cancel()


def test_timers_add_few_objects_to_garbage_collections() -> None:
    timers = Timers(Clock())
    gc.collect()
    before = len(gc.get_objects())
    for number in range(1000):
        timers.set(2000 + number / 100, f"{number}")
    gc.collect()
    assert len(gc.get_objects()) - before < 100
