"""Decode budget: concurrent decoding stays within the budget, alternating between tenants."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

import pytest
from imagegateway.media.decoding import DecodeBudget, decoding_cost
from imagegateway.platform.errors import GatewayError


@dataclass
class Load:
    """Images in decoding, and the highest number of their pixels at once."""

    decode_budget: DecodeBudget
    pixels: int = 0
    peak: int = 0
    order: list[str] = field(default_factory=list)

    async def decode(self, cost: int, tenant: str = "") -> None:
        async with self.decode_budget.admit(cost, tenant=tenant):
            self.order.append(tenant)
            self.pixels += cost
            self.peak = max(self.peak, self.pixels)
            await asyncio.sleep(0)
            self.pixels -= cost


async def test_pixels_at_once_stay_within_the_budget() -> None:
    load = Load(DecodeBudget(100))
    async with asyncio.TaskGroup() as group:
        for cost in [60, 40, 30, 30, 30, 10, 90] * 5:
            group.create_task(load.decode(cost))
    assert load.peak == 100
    assert len(load.order) == 35


async def test_image_over_the_whole_budget_is_decoded_alone() -> None:
    load = Load(DecodeBudget(100))
    async with asyncio.TaskGroup() as group:
        for cost in (500, 1, 500):
            group.create_task(load.decode(cost))
    assert load.peak == 500
    assert len(load.order) == 3


async def test_tenant_waits_for_one_image_of_another_tenant() -> None:
    load = Load(DecodeBudget(100))
    async with asyncio.TaskGroup() as group, load.decode_budget.admit(100, tenant="a"):
        for tenant in [*"aaaaaaaaaa", "b"]:
            group.create_task(load.decode(100, tenant))
        await asyncio.sleep(0)
    assert load.order.index("b") == 1


async def test_wait_without_room_is_overloaded() -> None:
    decode_budget = DecodeBudget(100)
    async with decode_budget.admit(100):
        with pytest.raises(GatewayError) as caught:
            async with decode_budget.admit(1, seconds=0.01):
                raise AssertionError("the budget is used up")
    assert (caught.value.code, caught.value.meaning.http, caught.value.retry_after) == ("overloaded", 503, 5.0)
    async with decode_budget.admit(100, seconds=0.01):
        """The budget is completely free again."""


async def test_cancelled_wait_leaves_the_queue() -> None:
    decode_budget = DecodeBudget(100)
    async with decode_budget.admit(60):
        large = asyncio.ensure_future(Load(decode_budget).decode(100))
        await asyncio.sleep(0)
        small = asyncio.ensure_future(Load(decode_budget).decode(40))
        await asyncio.sleep(0)
        large.cancel()
        await asyncio.wait_for(small, 5)


async def test_budget_is_held_until_the_thread_of_a_cancelled_call_has_ended() -> None:
    decode_budget = DecodeBudget(100)
    started, go_on = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        go_on.wait(30)

    async def decode() -> None:
        async with decode_budget.admit(100):
            await decode_budget.run(work)

    call = asyncio.ensure_future(decode())
    await asyncio.to_thread(started.wait, 30)
    call.cancel()
    with pytest.raises(GatewayError):
        async with decode_budget.admit(1, seconds=0.01):
            raise AssertionError("the thread still holds its pixels")
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    async with decode_budget.admit(100, seconds=0.01):
        """The budget is completely free again."""


def test_cost_counts_the_file_beside_its_pixels() -> None:
    assert decoding_cost(10, 10, 4_000, "image/png") == 100 + 1000
    assert decoding_cost(10, 10, 4_000, "image/webp") == 200 + 1000
