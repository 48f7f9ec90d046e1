"""Slots of many tenants: no tenant acquires all, and each waiting tenant is served."""

from __future__ import annotations

import asyncio

from imagegateway.platform.tenant_slots import TenantSlots

PATIENCE = 10.0


class SlotHolder:
    """Task that holds a slot until `end`."""

    def __init__(self, slots: TenantSlots, tenant: str) -> None:
        self.begun = asyncio.Event()
        self.over = asyncio.Event()
        self.task = asyncio.create_task(self._run(slots, tenant))

    async def _run(self, slots: TenantSlots, tenant: str) -> None:
        async with slots.hold(tenant):
            self.begun.set()
            await self.over.wait()

    async def end(self) -> None:
        self.over.set()
        await self.task


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_tenant_at_its_share_delays_no_other() -> None:
    slots = TenantSlots(total=4, each=2)
    hanging = [SlotHolder(slots, "a") for _ in range(10)]
    await settle()
    assert [work.begun.is_set() for work in hanging] == [True] * 2 + [False] * 8
    other = SlotHolder(slots, "b")
    await asyncio.wait_for(other.begun.wait(), PATIENCE)
    await other.end()
    for work in hanging:
        await work.end()


async def test_waiting_tenants_alternate() -> None:
    slots = TenantSlots(total=1, each=1)
    holders = [SlotHolder(slots, tenant) for tenant in "ab" for _ in range(3)]
    order: list[SlotHolder] = []
    while len(order) < len(holders):
        await settle()
        (running,) = [work for work in holders if work.begun.is_set() and work not in order]
        order.append(running)
        await running.end()
    assert [holders.index(work) for work in order] == [0, 1, 3, 2, 4, 5]


async def test_waiter_that_is_cancelled_leaves_no_slot_taken() -> None:
    slots = TenantSlots(total=1, each=1)
    first, second, third = (SlotHolder(slots, name) for name in "abc")
    await settle()
    second.task.cancel()
    first.over.set()
    await settle()
    assert third.begun.is_set()
    third.task.cancel()
    await settle()
    last = SlotHolder(slots, "d")
    await asyncio.wait_for(last.begun.wait(), PATIENCE)
    await last.end()
    assert not slots._held
    assert not slots._waiting


async def test_weights_stay_within_the_pool_and_each_share() -> None:
    slots = TenantSlots(total=100, each=50)
    held = {"a": 0, "b": 0}

    async def work(tenant: str, count: int) -> None:
        async with slots.hold(tenant, count):
            held[tenant] += count
            assert held[tenant] <= 50
            assert sum(held.values()) <= 100
            await asyncio.sleep(0)
            held[tenant] -= count

    async with asyncio.TaskGroup() as group:
        for count in [30, 20, 10, 50, 1] * 5:
            group.create_task(work("a", count))
            group.create_task(work("b", count))
    assert (slots._free, slots._held) == (100, {})


async def test_request_over_the_share_takes_the_whole_share_and_leaves_the_other_half() -> None:
    slots = TenantSlots(total=100, each=50)
    release = await slots.acquire("a", 1000)
    waiting = asyncio.create_task(slots.acquire("a"))
    other = await slots.acquire("b", 50)
    assert not waiting.done()
    release()
    (await waiting)()
    other()
    assert slots._free == 100


async def test_request_cancelled_at_its_grant_releases_its_slots() -> None:
    slots = TenantSlots(total=1, each=1)
    release = await slots.acquire("a")
    waiting = asyncio.create_task(slots.acquire("b"))
    await settle()
    release()
    waiting.cancel()
    await settle()
    assert waiting.cancelled()
    assert (slots._free, slots._held) == (1, {})
