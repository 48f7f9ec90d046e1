"""Fair queue: a job that must wait blocks only the jobs that wait for the same slots."""

from __future__ import annotations

from imagegateway.jobs.fair_queue import FairQueue
from imagegateway.jobs.limits import MIN_DIVIDED_SLOTS, Limits
from imagegateway.jobs.slot_pool import SlotPool

from tests.jobs.queues import BIG, queue, request


def test_next_tenant_is_served_while_the_first_one_is_at_its_limit() -> None:
    fair_queue = queue(tenant=1)
    fair_queue.pool.reserve(request("a1"))
    for job in ("a2", "b1"):
        fair_queue.enqueue(request(job))
    assert fair_queue.grant_next() == "b1"
    assert fair_queue.grant_next() is None
    fair_queue.pool.release("a1")
    assert fair_queue.grant_next() == "a2"


def test_next_tenant_is_served_while_the_first_one_is_over_its_share() -> None:
    limits = Limits(routes={}, default=MIN_DIVIDED_SLOTS, tenant=BIG, multi_tenant=lambda: True)
    fair_queue = FairQueue(SlotPool(limits))
    fair_queue.pool.reserve(request("a1", slots=MIN_DIVIDED_SLOTS - 4))
    for job in ("a2", "b1"):
        fair_queue.enqueue(request(job))
    assert fair_queue.grant_next() == "b1"
    assert fair_queue.grant_next() is None


def test_other_models_of_a_tenant_are_served_while_one_has_no_free_slots() -> None:
    fair_queue = queue(route=10, models={("local", "slow"): 1})
    fair_queue.pool.reserve(request("b1", model="slow"))
    for job, model in (("a1", "slow"), ("a2", ""), ("c1", "slow"), ("c2", "")):
        fair_queue.enqueue(request(job, model=model))
    assert [fair_queue.grant_next() for _ in range(3)] == ["a2", "c2", None]
    assert not fair_queue.can_reserve(request("d1", model="slow"))
    assert fair_queue.can_reserve(request("d1"))


def test_later_jobs_do_not_take_the_slots_that_the_first_waiting_job_needs() -> None:
    fair_queue = queue(route=4)
    fair_queue.pool.reserve(request("z1", slots=3))
    for job, slots in (("a1", 2), ("b1", 1)):
        fair_queue.enqueue(request(job, slots=slots))
    assert fair_queue.grant_next() is None
    assert not fair_queue.can_reserve(request("c1"))
    fair_queue.pool.release("z1")
    assert [fair_queue.grant_next() for _ in range(2)] == ["a1", "b1"]
