"""Parallel awaiting: results in order, and no sibling left running."""

from __future__ import annotations

import asyncio

import pytest
from imagegateway.providers.kit.parallel import in_parallel


async def after(event: asyncio.Event, value: int) -> int:
    await event.wait()
    return value


async def test_results_have_the_order_of_the_awaitables() -> None:
    first, second = asyncio.Event(), asyncio.Event()
    work = asyncio.create_task(in_parallel([after(first, 1), after(second, 2)]))
    second.set()
    await asyncio.sleep(0)
    first.set()
    assert await work == [1, 2]


async def test_sibling_of_a_failed_awaitable_has_ended_when_the_exception_arrives() -> None:
    ended = asyncio.Event()

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await in_parallel([wait_for_ever(), fail()])
    assert ended.is_set()
