"""Fair queues, limits and positions."""

from __future__ import annotations

import gc
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagegateway.jobs import states
from imagegateway.jobs.admission import AdmissionControl
from imagegateway.jobs.fair_queue import FairQueue
from imagegateway.jobs.limits import MIN_DIVIDED_SLOTS, RESERVED_SHARE, LimitKey, Limits, SlotRequest
from imagegateway.jobs.slot_pool import SlotPool
from imagegateway.jobs.stream import Entry

from tests.jobs import records
from tests.jobs.queues import BIG, drained, queue, request


def test_tenants_alternate() -> None:
    fair_queue = queue()
    for job in ("a1", "a2", "a3", "b1", "c1", "c2"):
        fair_queue.enqueue(request(job))
    assert len(fair_queue) == 6
    assert drained(fair_queue) == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert len(fair_queue) == 0


def test_late_tenant_does_not_wait_for_a_long_queue() -> None:
    fair_queue = queue(route=1)
    for index in range(100):
        fair_queue.enqueue(request(f"a{index}"))
    assert fair_queue.grant_next() == "a0"
    fair_queue.enqueue(request("b0"))
    assert fair_queue.position("b0") == 1
    fair_queue.pool.release("a0")
    assert fair_queue.grant_next() == "a1"
    fair_queue.pool.release("a1")
    assert fair_queue.grant_next() == "b0"


def shared(limit: int) -> FairQueue:
    return FairQueue(SlotPool(Limits(routes={}, default=limit, tenant=BIG, multi_tenant=lambda: True)))


def test_tenant_that_fills_a_route_leaves_slots_for_another_tenant() -> None:
    fair_queue = shared(MIN_DIVIDED_SLOTS)
    for index in range(100):
        fair_queue.enqueue(request(f"a{index}"))
    assert len(drained(fair_queue)) == MIN_DIVIDED_SLOTS - MIN_DIVIDED_SLOTS // RESERVED_SHARE
    assert fair_queue.can_reserve(request("b0"))
    fair_queue.enqueue(request("b0"))
    assert fair_queue.grant_next() == "b0"
    assert fair_queue.grant_next() is None
    fair_queue.pool.release("b0")
    fair_queue.enqueue(request("c0"))
    assert fair_queue.grant_next() == "c0", "a tenant over its share blocks no other tenant"


def test_lone_tenant_may_hold_every_slot() -> None:
    fair_queue = queue(route=MIN_DIVIDED_SLOTS)
    for index in range(100):
        fair_queue.enqueue(request(f"a{index}"))
    assert len(drained(fair_queue)) == MIN_DIVIDED_SLOTS


def test_tenants_own_key_has_all_slots() -> None:
    fair_queue = shared(MIN_DIVIDED_SLOTS)
    for index in range(100):
        fair_queue.enqueue(SlotRequest(f"a{index}", LimitKey("bfl", account="fingerprint"), "a"))
    assert len(drained(fair_queue)) == MIN_DIVIDED_SLOTS


def test_small_limit_is_not_divided() -> None:
    fair_queue = shared(MIN_DIVIDED_SLOTS - 1)
    for index in range(100):
        fair_queue.enqueue(request(f"a{index}"))
    assert len(drained(fair_queue)) == MIN_DIVIDED_SLOTS - 1


def test_job_of_more_slots_than_a_share_runs_where_its_tenant_holds_none() -> None:
    fair_queue = shared(MIN_DIVIDED_SLOTS)
    fair_queue.enqueue(request("a0", slots=MIN_DIVIDED_SLOTS))
    assert fair_queue.grant_next() == "a0"


def test_route_has_its_own_limit() -> None:
    fair_queue = queue(route=2, slow=1)
    for index in range(4):
        fair_queue.enqueue(request(f"f{index}", "fast", "a"))
        fair_queue.enqueue(request(f"s{index}", "slow", "a"))
    assert Counter(job[0] for job in drained(fair_queue)) == {"f": 2, "s": 1}
    fair_queue.pool.release("s0")
    assert fair_queue.grant_next() == "s1"
    assert fair_queue.grant_next() is None


def test_new_job_does_not_overtake_a_job_that_waits_for_the_same_slots() -> None:
    fair_queue = queue(route=4)
    fair_queue.pool.reserve(request("a1", slots=2))
    assert fair_queue.can_reserve(request("b1", slots=2))
    assert not fair_queue.can_reserve(request("b1", slots=3))
    fair_queue.enqueue(request("b1", slots=3))
    assert fair_queue.grant_next() is None
    assert not fair_queue.can_reserve(request("c1")), "it would take what b1 waits for"
    fair_queue.enqueue(request("c1"))
    assert fair_queue.grant_next() is None, "as it would from its place in fair_queue"
    assert fair_queue.can_reserve(request("c1", "other"))
    fair_queue.pool.release("a1")
    assert drained(fair_queue) == ["b1", "c1"]


def test_job_that_needs_more_than_all_slots_runs_alone() -> None:
    fair_queue = queue(route=4)
    fair_queue.pool.reserve(request("a1"))
    fair_queue.enqueue(request("b1", slots=10))
    fair_queue.enqueue(request("c1"))
    assert fair_queue.grant_next() is None
    fair_queue.pool.release("a1")
    assert fair_queue.grant_next() == "b1"
    assert fair_queue.grant_next() is None
    fair_queue.pool.release("b1")
    assert fair_queue.grant_next() == "c1"


def test_model_has_its_own_slots_within_its_route() -> None:
    limits = Limits(routes={"bfl": 4}, default=BIG, tenant=BIG, models={("bfl", "max"): 2})
    assert limits.key("bfl", "", "max") == LimitKey("bfl", model="max")
    assert limits.key("bfl", "", "pro") == LimitKey("bfl")
    assert limits.key("fal", "", "max") == LimitKey("fal")
    fair_queue = queue(bfl=4, models={("bfl", "max"): 2})
    for job in ("a1", "a2", "a3", "a4"):
        fair_queue.enqueue(request(job, "bfl", model="max"))
    for job in ("a5", "a6", "a7"):
        fair_queue.enqueue(request(job, "bfl"))
    assert drained(fair_queue) == ["a1", "a2", "a5", "a6"], "a full model does not hold up its tenant's others"
    fair_queue.pool.release("a5")
    assert fair_queue.grant_next() == "a7"
    fair_queue.pool.release("a1")
    assert fair_queue.grant_next() == "a3"
    fair_queue.pool.release("a6")
    assert fair_queue.grant_next() is None
    assert fair_queue.can_reserve(request("b1", "bfl")), (
        "a job that waits for the model's slots does not wait for these"
    )
    assert not fair_queue.can_reserve(request("b1", "bfl", model="max"))
    fair_queue.pool.release("a2")
    assert not fair_queue.can_reserve(request("b1", "bfl")), "a job that waited is next"
    assert fair_queue.grant_next() == "a4"


def test_each_key_has_the_whole_limit() -> None:
    fair_queue = queue(bfl=2)
    own = [SlotRequest(f"k{index}", LimitKey("bfl", account="k"), "a") for index in range(3)]
    for index in range(3):
        fair_queue.enqueue(request(f"a{index}", "bfl"))
        fair_queue.enqueue(own[index])
    assert sorted(drained(fair_queue)) == ["a0", "a1", "k0", "k1"]
    assert not fair_queue.can_reserve(request("b", "bfl"))
    assert fair_queue.can_reserve(SlotRequest("b", LimitKey("bfl", account="l"), "b"))
    fair_queue.pool.release("k0")
    assert fair_queue.grant_next() == "k2"


def test_unused_keys_leave_no_counts() -> None:
    fair_queue = queue(bfl=1, models={("bfl", "max"): 1})
    for index in range(10):
        for job in ("w", "r"):
            key = LimitKey("bfl", account=f"k{index}", model="max")
            fair_queue.enqueue(SlotRequest(f"{job}{index}", key, f"t{index}"))
    assert len(drained(fair_queue)) == 10
    assert (fair_queue.empty, fair_queue.pool.empty) == (False, False)
    for index in range(10):
        fair_queue.pool.release(f"w{index}")
        fair_queue.remove(f"r{index}")
    assert fair_queue.empty
    assert fair_queue.pool.empty


def test_tenant_at_its_limit_blocks_no_other_tenant() -> None:
    fair_queue = queue(route=10, tenant=2)
    for job in ("a1", "a2", "a3", "b1"):
        fair_queue.enqueue(request(job))
    assert drained(fair_queue) == ["a1", "b1", "a2"]
    assert not fair_queue.can_reserve(request("a", "other"))
    assert fair_queue.can_reserve(request("b", "other"))
    assert fair_queue.can_reserve(request("b"))
    fair_queue.pool.release("a1")
    assert fair_queue.grant_next() == "a3"


def test_api_key_at_its_limit_blocks_no_other_key_of_its_tenant() -> None:
    fair_queue = queue(api_key_jobs={"slow": 1}.get)
    for job in ("a1", "a2"):
        fair_queue.enqueue(request(job, api_key="slow"))
    for job in ("a3", "a4"):
        fair_queue.enqueue(request(job, api_key="free"))
    assert fair_queue.position("a2") == 1
    assert drained(fair_queue) == ["a1", "a3", "a4"]
    assert not fair_queue.can_reserve(request("a5", "other", api_key="slow")), "the limit holds over all routes"
    assert fair_queue.can_reserve(request("a5", api_key="free"))
    assert fair_queue.can_reserve(request("a5")), "the records of earlier versions name no key"
    fair_queue.pool.release("a1")
    assert drained(fair_queue) == ["a2"]


def test_job_of_a_key_at_its_limit_waits_for_no_slots() -> None:
    fair_queue = queue(route=2, api_key_jobs={"slow": 1}.get)
    fair_queue.pool.reserve(request("a1", api_key="slow"))
    fair_queue.enqueue(request("a2", slots=2, api_key="slow"))
    assert fair_queue.can_reserve(request("b1"))


def test_changed_job_limit_holds_for_the_next_grant() -> None:
    limits = {"a": 1, "key": 5}
    fair_queue = queue(tenant=4, tenant_jobs=limits.get, api_key_jobs=limits.get)
    for index in range(6):
        fair_queue.enqueue(request(f"a{index}", api_key="key"))
    assert drained(fair_queue) == ["a0"]
    limits["a"] = 3
    assert drained(fair_queue) == ["a1", "a2"]
    limits |= {"a": 5, "key": 2}
    assert drained(fair_queue) == []
    limits["key"] = 5
    assert drained(fair_queue) == ["a3"], "the setting holds for each tenant, whatever its policy"


def test_job_that_changes_its_route_needs_no_second_slot_of_its_key_and_tenant() -> None:
    limits = {"a": 1, "key": 1}
    fair_queue = queue(tenant_jobs=limits.get, api_key_jobs=limits.get)
    fair_queue.pool.reserve(request("a1", "first", api_key="key"))
    assert fair_queue.can_reserve(request("a1", "second", api_key="key"))
    assert not fair_queue.can_reserve(request("a2", "second", api_key="key"))


def test_reserve_and_release_are_idempotent() -> None:
    fair_queue = queue(route=2)
    for _ in range(3):
        assert not fair_queue.pool.reserve(request("a"))
    assert fair_queue.can_reserve(request("x"))
    fair_queue.pool.reserve(request("b"))
    assert not fair_queue.can_reserve(request("x"))
    assert [fair_queue.pool.release("a") for _ in range(3)] == [True, False, False]
    assert fair_queue.can_reserve(request("x"))
    fair_queue.pool.reserve(request("c"))
    assert not fair_queue.can_reserve(request("x"))
    assert not fair_queue.pool.release("none")
    assert not fair_queue.can_reserve(request("x"))


def test_job_that_changes_its_route_releases_the_previous_slots() -> None:
    fair_queue = queue(first=2, second=5)
    fair_queue.pool.reserve(request("a", "first", slots=2))
    fair_queue.enqueue(request("b", "first"))
    assert fair_queue.pool.reserve(request("a", "second", slots=4)), "there is room on the first route now"
    assert fair_queue.grant_next() == "b"
    assert not fair_queue.can_reserve(request("c", "second", slots=2))
    assert fair_queue.can_reserve(request("c", "second"))
    assert fair_queue.pool.release("a")
    assert fair_queue.can_reserve(request("c", "second", slots=5))


def test_removed_job_is_not_granted() -> None:
    fair_queue = queue()
    for job in ("a1", "a2", "b1"):
        fair_queue.enqueue(request(job))
    assert [fair_queue.remove(job) for job in ("a1", "a1", "x")] == [True, False, False]
    assert len(fair_queue) == 2
    assert fair_queue.position("a1") is None
    fair_queue.remove("b1")
    assert drained(fair_queue) == ["a2"]


def test_position_is_none_for_a_job_that_is_not_queued() -> None:
    fair_queue = queue()
    assert fair_queue.position("a") is None
    fair_queue.enqueue(request("a"))
    fair_queue.enqueue(request("a"))
    assert fair_queue.position("a") == 0
    assert fair_queue.position("b") is None
    assert fair_queue.grant_next() == "a"
    assert fair_queue.position("a") is None
    assert fair_queue.grant_next() is None


# ---- queue limits


def filled(limit: int, requests: list[str]) -> tuple[FairQueue, list[str]]:
    """Fill a queue up to its limits. Return the queue and the tenants of its jobs."""
    fair_queue, accepted = queue(), []
    for index, tenant in enumerate(requests):
        if fair_queue.queued_by(tenant) < fair_queue.tenant_limit(tenant, limit):
            fair_queue.enqueue(request(f"{index}", tenant=tenant))
            accepted.append(tenant)
    return fair_queue, accepted


def test_lone_tenant_may_fill_the_queue() -> None:
    assert len(filled(10, ["a"] * 20)[1]) == 10


def test_tenant_that_fills_the_queue_blocks_no_other_tenant() -> None:
    fair_queue, accepted = filled(10, ["a"] * 20 + ["b"] * 20 + ["c"] * 20 + ["a"] * 5)
    assert Counter(accepted) == {"a": 10, "b": 5, "c": 3}
    for job in range(8):
        fair_queue.remove(f"{job}")
    assert len(fair_queue) == 10
    assert fair_queue.queued_by("a") < fair_queue.tenant_limit("a", 10)  # its share is free again


def test_queue_limit_zero_queues_no_job() -> None:
    assert filled(0, ["a", "b"])[1] == []


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcde"), max_size=80), st.integers(1, 20))
def test_every_tenant_can_queue_and_the_total_is_bounded(requests: list[str], limit: int) -> None:
    fair_queue, accepted = filled(limit, requests)
    assert set(accepted) == set(requests)
    assert len(fair_queue) <= sum(max(1, limit // number) for number in range(1, 6))
    for job in range(len(requests)):
        fair_queue.remove(f"{job}")
    assert fair_queue.empty


def test_full_queue_limits_each_tenant_to_its_share_and_a_queue_one_short_does_not() -> None:
    fair_queue = queue()
    for index in range(9):
        fair_queue.enqueue(request(f"a{index}"))
    assert fair_queue.tenant_limit("a", 10) == 10
    fair_queue.enqueue(request("b0"))
    assert fair_queue.tenant_limit("a", 10) == 5
    assert fair_queue.tenant_limit("c", 10) == 3


def test_job_of_several_slots_is_admitted_only_while_all_are_free() -> None:
    admission = AdmissionControl(Limits(routes={}, default=4, tenant=BIG), "me")
    assert admission.try_reserve(records.job(slots=3))
    assert not admission.try_reserve(records.job(slots=2))
    assert admission.try_reserve(records.job(slots=0)), "a record without a number of slots takes one"
    assert not admission.try_reserve(records.job(slots=0))


def test_holder_of_slots_is_named_with_the_record_that_asked_for_them() -> None:
    admission = AdmissionControl(Limits(routes={}, default=4, tenant=BIG), "me")
    record = records.job(job_id="a", state=states.SUBMITTING)
    assert admission.try_reserve(record)
    assert [*admission.holders()] == [[("a", 0)]], "that record is not written yet"
    for seq in (3, 5):
        admission.apply(Entry(seq, record))
        assert [*admission.holders()] == [[("a", seq)]]
    record.slots = 2
    assert admission.try_reserve(record)
    assert [*admission.holders()] == [[("a", 0)]]
    admission.recount("a", None)
    assert [*admission.holders()] == [[]]
    assert admission.idle


@pytest.mark.parametrize("state", [states.RUNNING, states.QUEUED])
def test_jobs_with_equal_requests_add_no_objects_to_garbage_collections(state: records.StateValue) -> None:
    admission = AdmissionControl(Limits(routes={}, default=1, tenant=BIG), "me")
    assert admission.try_reserve(records.job(job_id="first"))
    record = records.job(state=state)
    gc.collect()
    before = len(gc.get_objects())
    for seq in range(1000):
        record.id = f"{seq}"
        if state == states.QUEUED:
            admission.enqueue(record)
        else:
            admission.apply(Entry(seq, record))
    gc.collect()
    assert len(gc.get_objects()) - before < 100
