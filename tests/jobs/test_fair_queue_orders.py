"""Fair queue under any order of events, beside a simple model of queued and running jobs."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from imagegateway.jobs.limits import LimitKey, SlotRequest

from tests.jobs.queues import BIG, drained, queue, request

if TYPE_CHECKING:
    from imagegateway.jobs.fair_queue import FairQueue

KEYS = [LimitKey(route, account, model) for route in ("r0", "r1") for account in ("", "k") for model in ("", "m")]
MODELS = {("r0", "m"): 2, ("r1", "m"): 1}
OPS = st.lists(
    st.tuples(
        st.sampled_from(["wait", "wait", "wait", "take", "take", "leave", "end", "move", "enter"]),
        st.integers(0, 2),
        st.sampled_from(KEYS),
        st.integers(1, 4),
    ),
    max_size=60,
)
Op = tuple[str, int, LimitKey, int]


@dataclass
class ReferenceModel:
    """Random operations beside a simple model of queued and running jobs."""

    fair_queue: FairQueue
    waiting: dict[str, SlotRequest] = field(default_factory=dict)
    running: dict[str, SlotRequest] = field(default_factory=dict)

    def do(self, index: int, op: str, asked: SlotRequest) -> None:
        match op:
            case "wait":
                self.waiting[asked.job_id] = asked
                self.fair_queue.enqueue(asked)
            case "enter" if self.fair_queue.can_reserve(asked):
                self.running[asked.job_id] = asked
                self.fair_queue.pool.reserve(asked)
            case "take":
                job = self.fair_queue.grant_next()
                if job is not None:
                    self.running[job] = self.waiting.pop(job)
            case "leave" if self.waiting:
                job = sorted(self.waiting)[index % len(self.waiting)]
                del self.waiting[job]
                assert self.fair_queue.remove(job)
            case "end" if self.running:
                job = sorted(self.running)[index % len(self.running)]
                del self.running[job]
                assert self.fair_queue.pool.release(job)
            case "move" if self.running:
                job = sorted(self.running)[index % len(self.running)]
                running = self.running[job]
                moved = SlotRequest(job, asked.key, running.tenant, asked.slots, running.api_key)
                if self.fair_queue.can_reserve(moved):
                    self.running[job] = moved
                    self.fair_queue.pool.reserve(moved)

    def taken(self, key: LimitKey) -> list[SlotRequest]:
        return [running for running in self.running.values() if key in running.key.levels]

    def fits(self, asked: SlotRequest, tenant: int) -> bool:
        """Return whether a job has free slots, by the simple model."""
        counts = [(self.taken(key), self.fair_queue.pool.limits.of(key)) for key in asked.key.levels]
        owned = sum(running.tenant == asked.tenant for running in self.running.values())
        of_key = sum(running.api_key == asked.api_key for running in self.running.values())
        limit_of_key = self.fair_queue.pool.limits.api_key_jobs(asked.api_key)
        return (
            owned < tenant
            and (limit_of_key is None or of_key < limit_of_key)
            and all(not jobs or sum(job.slots for job in jobs) + asked.slots <= limit for jobs, limit in counts)
        )


def replayed(ops: list[Op], fair_queue: FairQueue) -> ReferenceModel:
    model_ = ReferenceModel(fair_queue)
    for index, (op, tenant_number, key, slots) in enumerate(ops):
        model_.do(index, op, SlotRequest(f"j{index}", key, f"t{tenant_number}", slots))
    return model_


@settings(deadline=None)
@given(OPS, st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))
def test_limits_hold_and_no_job_is_lost(ops: list[Op], route: int, tenant: int, api_key: int) -> None:
    model_ = ReferenceModel(queue(route=route, tenant=tenant, models=MODELS, api_key_jobs=lambda _key: api_key))
    for index, (op, tenant_number, key, slots) in enumerate(ops):
        name = f"t{tenant_number}"
        model_.do(index, op, SlotRequest(f"j{index}", key, name, slots, f"{name}.{index % 2}"))
        for counted in {one for running in model_.running.values() for one in running.key.levels}:
            jobs = model_.taken(counted)
            assert len(jobs) == 1 or sum(job.slots for job in jobs) <= model_.fair_queue.pool.limits.of(counted)
        assert all(count <= tenant for count in Counter(job.tenant for job in model_.running.values()).values())
        assert all(count <= api_key for count in Counter(job.api_key for job in model_.running.values()).values())
        assert len(model_.fair_queue) == len(model_.waiting)
        if not any(model_.fits(waiting, tenant) for waiting in model_.waiting.values()):
            assert copy.deepcopy(model_.fair_queue).grant_next() is None
    # Every queued job runs in the end.
    for _ in range(2 * len(ops) + 1):
        model_.do(0, "take", request("none"))
        model_.do(0, "end", request("none"))
    assert not model_.waiting
    assert not model_.running


@settings(deadline=None)
@given(OPS, st.integers(1, 5))
def test_no_job_waits_while_its_slots_are_free(ops: list[Op], route: int) -> None:
    """Once no more jobs may run, slots are too few for the first job of each fair queue."""
    model_ = replayed(ops, queue(route=route, models=MODELS))
    for _ in ops:
        model_.do(0, "take", request("none"))
    first: dict[LimitKey, SlotRequest] = {}
    for waiting in model_.waiting.values():
        if model_.fair_queue.position(waiting.job_id) == 0:
            first[waiting.key.route_key] = waiting
    assert first.keys() == {waiting.key.route_key for waiting in model_.waiting.values()}
    assert not any(model_.fits(waiting, BIG) for waiting in first.values())


@settings(deadline=None)
@given(OPS)
def test_position_is_the_number_of_jobs_before(ops: list[Op]) -> None:
    model_ = replayed(ops, queue(models=dict.fromkeys(MODELS, BIG)))
    for whole in {key.route_key for key in KEYS}:
        # Expected order: grant only this key's jobs, until none is left.
        simulated = copy.deepcopy(model_.fair_queue)
        for job, waiting in model_.waiting.items():
            if waiting.key.route_key != whole:
                simulated.remove(job)
        for turn, job in enumerate(drained(simulated)):
            assert model_.fair_queue.position(job) == turn


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 3), st.integers(1, 4))
def test_no_tenant_is_served_twice_while_another_waits(owners: list[int], limit: int, slots: int) -> None:
    fair_queue = queue(route=limit)
    for index, owner in enumerate(owners):
        fair_queue.enqueue(request(f"{index}", tenant=f"t{owner}", slots=1 + index % slots))
    left = Counter(owners)
    served: Counter[int] = Counter()
    while (job := fair_queue.grant_next()) is not None:
        fair_queue.pool.release(job)
        owner = owners[int(job)]
        # No tenant with jobs left is more than one turn behind.
        assert all(served[owner] <= served[other] for other in left if left[other])
        served[owner] += 1
        left[owner] -= 1
    assert served == Counter(owners)
