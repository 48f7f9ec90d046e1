"""AdmissionControl, limits and positions."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from imagegateway.jobs.fair_queue import FairQueue
from imagegateway.jobs.limits import MIN_DIVIDED_SLOTS, RESERVED_SHARE, LimitKey, Limits, SlotRequest
from imagegateway.jobs.slot_pool import SlotPool

BIG = 1000


def queue(
    *, route: int = BIG, tenant: int = BIG, models: dict[tuple[str, str], int] | None = None, **routes: int
) -> FairQueue:
    return FairQueue(SlotPool(Limits(routes=routes, default=route, tenant=tenant, models=models or {})))


def request(job: str, route: str = "local", tenant: str = "", slots: int = 1, model: str = "") -> SlotRequest:
    """A claim of a job whose tenant is, unless told, the first letter of its id."""
    return SlotRequest(job, LimitKey(route, model=model), tenant or job[0], slots)


def drained(queue_: FairQueue) -> list[str]:
    """All that may run, in order."""
    return list(iter(queue_.grant_next, None))


def test_tenants_take_turns() -> None:
    queue_ = queue()
    for job in ("a1", "a2", "a3", "b1", "c1", "c2"):
        queue_.enqueue(request(job))
    assert len(queue_) == 6
    assert drained(queue_) == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert len(queue_) == 0


def test_a_late_tenant_does_not_wait_for_a_long_line() -> None:
    queue_ = queue(route=1)
    for index in range(100):
        queue_.enqueue(request(f"a{index}"))
    assert queue_.grant_next() == "a0"
    queue_.enqueue(request("b0"))
    assert queue_.position("b0") == 1
    queue_.pool.release("a0")
    assert queue_.grant_next() == "a1"
    queue_.pool.release("a1")
    assert queue_.grant_next() == "b0"


def shared(limit: int) -> FairQueue:
    return FairQueue(SlotPool(Limits(routes={}, default=limit, tenant=BIG, multi_tenant=lambda: True)))


def test_tenant_that_fills_a_route_leaves_slots_for_another_tenant() -> None:
    queue_ = shared(MIN_DIVIDED_SLOTS)
    for index in range(100):
        queue_.enqueue(request(f"a{index}"))
    assert len(drained(queue_)) == MIN_DIVIDED_SLOTS - MIN_DIVIDED_SLOTS // RESERVED_SHARE
    assert queue_.can_reserve(request("b0"))
    queue_.enqueue(request("b0"))
    assert queue_.grant_next() == "b0"
    assert queue_.grant_next() is None
    queue_.pool.release("b0")
    queue_.enqueue(request("c0"))
    assert queue_.grant_next() == "c0", "a tenant over its share holds up nobody else"


def test_lone_tenant_may_hold_every_slot() -> None:
    queue_ = queue(route=MIN_DIVIDED_SLOTS)
    for index in range(100):
        queue_.enqueue(request(f"a{index}"))
    assert len(drained(queue_)) == MIN_DIVIDED_SLOTS


def test_key_of_a_tenant_has_every_slot_of_its_own() -> None:
    queue_ = shared(MIN_DIVIDED_SLOTS)
    for index in range(100):
        queue_.enqueue(SlotRequest(f"a{index}", LimitKey("bfl", account="fingerprint"), "a"))
    assert len(drained(queue_)) == MIN_DIVIDED_SLOTS


def test_few_slots_are_not_divided() -> None:
    queue_ = shared(MIN_DIVIDED_SLOTS - 1)
    for index in range(100):
        queue_.enqueue(request(f"a{index}"))
    assert len(drained(queue_)) == MIN_DIVIDED_SLOTS - 1


def test_job_of_more_slots_than_a_share_runs_where_its_tenant_holds_none() -> None:
    queue_ = shared(MIN_DIVIDED_SLOTS)
    queue_.enqueue(request("a0", slots=MIN_DIVIDED_SLOTS))
    assert queue_.grant_next() == "a0"


def test_a_route_has_its_own_limit() -> None:
    queue_ = queue(route=2, slow=1)
    for index in range(4):
        queue_.enqueue(request(f"f{index}", "fast", "a"))
        queue_.enqueue(request(f"s{index}", "slow", "a"))
    assert Counter(job[0] for job in drained(queue_)) == {"f": 2, "s": 1}
    queue_.pool.release("s0")
    assert queue_.grant_next() == "s1"
    assert queue_.grant_next() is None


def test_a_new_job_passes_nobody_by_who_waits_for_the_same_places() -> None:
    queue_ = queue(route=4)
    queue_.pool.reserve(request("a1", slots=2))
    assert queue_.can_reserve(request("b1", slots=2))
    assert not queue_.can_reserve(request("b1", slots=3))
    queue_.enqueue(request("b1", slots=3))
    assert queue_.grant_next() is None
    assert not queue_.can_reserve(request("c1")), "it would take what b1 waits for"
    queue_.enqueue(request("c1"))
    assert queue_.grant_next() is None, "as it would from its place in queue_"
    assert queue_.can_reserve(request("c1", "other"))
    queue_.pool.release("a1")
    assert drained(queue_) == ["b1", "c1"]


def test_a_job_that_takes_more_places_than_there_are_runs_alone() -> None:
    queue_ = queue(route=4)
    queue_.pool.reserve(request("a1"))
    queue_.enqueue(request("b1", slots=10))
    queue_.enqueue(request("c1"))
    assert queue_.grant_next() is None
    queue_.pool.release("a1")
    assert queue_.grant_next() == "b1"
    assert queue_.grant_next() is None
    queue_.pool.release("b1")
    assert queue_.grant_next() == "c1"


def test_a_model_has_places_of_its_own_within_its_route() -> None:
    limits = Limits(routes={"bfl": 4}, default=BIG, tenant=BIG, models={("bfl", "max"): 2})
    assert limits.key("bfl", "", "max") == LimitKey("bfl", model="max")
    assert limits.key("bfl", "", "pro") == LimitKey("bfl")
    assert limits.key("fal", "", "max") == LimitKey("fal")
    queue_ = queue(bfl=4, models={("bfl", "max"): 2})
    for job in ("a1", "a2", "a3", "a4"):
        queue_.enqueue(request(job, "bfl", model="max"))
    for job in ("a5", "a6", "a7"):
        queue_.enqueue(request(job, "bfl"))
    assert drained(queue_) == ["a1", "a2", "a5", "a6"], "a full model does not hold up its tenant's others"
    queue_.pool.release("a5")
    assert queue_.grant_next() == "a7"
    queue_.pool.release("a1")
    assert queue_.grant_next() == "a3"
    queue_.pool.release("a6")
    assert queue_.grant_next() is None
    assert queue_.can_reserve(request("b1", "bfl")), "who waits for the model's slots does not wait for these"
    assert not queue_.can_reserve(request("b1", "bfl", model="max"))
    queue_.pool.release("a2")
    assert not queue_.can_reserve(request("b1", "bfl")), "it is the turn of one who waited"
    assert queue_.grant_next() == "a4"


def test_each_key_has_the_whole_limit() -> None:
    queue_ = queue(bfl=2)
    own = [SlotRequest(f"k{index}", LimitKey("bfl", account="k"), "a") for index in range(3)]
    for index in range(3):
        queue_.enqueue(request(f"a{index}", "bfl"))
        queue_.enqueue(own[index])
    assert sorted(drained(queue_)) == ["a0", "a1", "k0", "k1"]
    assert not queue_.can_reserve(request("b", "bfl"))
    assert queue_.can_reserve(SlotRequest("b", LimitKey("bfl", account="l"), "b"))
    queue_.pool.release("k0")
    assert queue_.grant_next() == "k2"


def test_keys_that_are_gone_leave_nothing() -> None:
    queue_ = queue(bfl=1, models={("bfl", "max"): 1})
    for index in range(10):
        for job in ("w", "r"):
            lane = LimitKey("bfl", account=f"k{index}", model="max")
            queue_.enqueue(SlotRequest(f"{job}{index}", lane, f"t{index}"))
    assert len(drained(queue_)) == 10
    for index in range(10):
        queue_.pool.release(f"w{index}")
        queue_.remove(f"r{index}")
    assert queue_.empty
    assert queue_.pool.empty


def test_a_tenant_at_its_limit_holds_up_nobody_else() -> None:
    queue_ = queue(route=10, tenant=2)
    for job in ("a1", "a2", "a3", "b1"):
        queue_.enqueue(request(job))
    assert drained(queue_) == ["a1", "b1", "a2"]
    assert not queue_.can_reserve(request("a", "other"))
    assert queue_.can_reserve(request("b", "other"))
    assert queue_.can_reserve(request("b"))
    queue_.pool.release("a1")
    assert queue_.grant_next() == "a3"


def test_running_and_ending_may_be_said_twice() -> None:
    queue_ = queue(route=2)
    for _ in range(3):
        assert not queue_.pool.reserve(request("a"))
    assert queue_.can_reserve(request("x"))
    queue_.pool.reserve(request("b"))
    assert not queue_.can_reserve(request("x"))
    assert [queue_.pool.release("a") for _ in range(3)] == [True, False, False]
    assert queue_.can_reserve(request("x"))
    queue_.pool.reserve(request("c"))
    assert not queue_.can_reserve(request("x"))
    assert not queue_.pool.release("nobody")
    assert not queue_.can_reserve(request("x"))


def test_a_job_that_turns_to_another_route_takes_its_places_along() -> None:
    queue_ = queue(first=2, second=5)
    queue_.pool.reserve(request("a", "first", slots=2))
    queue_.enqueue(request("b", "first"))
    assert queue_.pool.reserve(request("a", "second", slots=4)), "there is room on the first route now"
    assert queue_.grant_next() == "b"
    assert not queue_.can_reserve(request("c", "second", slots=2))
    assert queue_.can_reserve(request("c", "second"))
    assert queue_.pool.release("a")
    assert queue_.can_reserve(request("c", "second", slots=5))


def test_leaving() -> None:
    queue_ = queue()
    for job in ("a1", "a2", "b1"):
        queue_.enqueue(request(job))
    assert [queue_.remove(job) for job in ("a1", "a1", "x")] == [True, False, False]
    assert len(queue_) == 2
    assert queue_.position("a1") is None
    queue_.remove("b1")
    assert drained(queue_) == ["a2"]


def test_no_position_for_what_does_not_wait() -> None:
    queue_ = queue()
    assert queue_.position("a") is None
    queue_.enqueue(request("a"))
    queue_.enqueue(request("a"))
    assert queue_.position("a") == 0
    assert queue_.position("b") is None
    assert queue_.grant_next() == "a"
    assert queue_.position("a") is None
    assert queue_.grant_next() is None


# ---- any order of events

LANES = [LimitKey(route, account, model) for route in ("r0", "r1") for account in ("", "k") for model in ("", "m")]
MODELS = {("r0", "m"): 2, ("r1", "m"): 1}
OPS = st.lists(
    st.tuples(
        st.sampled_from(["wait", "wait", "wait", "take", "take", "leave", "end", "move", "enter"]),
        st.integers(0, 2),
        st.sampled_from(LANES),
        st.integers(1, 4),
    ),
    max_size=60,
)
Op = tuple[str, int, LimitKey, int]


@dataclass
class Play:
    """Random operations, and who waits and runs by a plain account of them."""

    queue_: FairQueue
    waiting: dict[str, SlotRequest] = field(default_factory=dict)
    running: dict[str, SlotRequest] = field(default_factory=dict)

    def do(self, index: int, op: str, asked: SlotRequest) -> None:
        match op:
            case "wait":
                self.waiting[asked.job_id] = asked
                self.queue_.enqueue(asked)
            case "enter" if self.queue_.can_reserve(asked):
                self.running[asked.job_id] = asked
                self.queue_.pool.reserve(asked)
            case "take":
                job = self.queue_.grant_next()
                if job is not None:
                    self.running[job] = self.waiting.pop(job)
            case "leave" if self.waiting:
                job = sorted(self.waiting)[index % len(self.waiting)]
                del self.waiting[job]
                assert self.queue_.remove(job)
            case "end" if self.running:
                job = sorted(self.running)[index % len(self.running)]
                del self.running[job]
                assert self.queue_.pool.release(job)
            case "move" if self.running:
                job = sorted(self.running)[index % len(self.running)]
                moved = SlotRequest(job, asked.key, self.running[job].tenant, asked.slots)
                if self.queue_.can_reserve(moved):
                    self.running[job] = moved
                    self.queue_.pool.reserve(moved)

    def taken(self, lane: LimitKey) -> list[SlotRequest]:
        return [running for running in self.running.values() if lane in running.key.levels]

    def fits(self, asked: SlotRequest, tenant: int) -> bool:
        """Whether there are slots for a job, by the plain account."""
        counts = [(self.taken(lane), self.queue_.pool.limits.of(lane)) for lane in asked.key.levels]
        owned = sum(running.tenant == asked.tenant for running in self.running.values())
        return owned < tenant and all(
            not jobs or sum(job.slots for job in jobs) + asked.slots <= limit for jobs, limit in counts
        )


def played(ops: list[Op], queue_: FairQueue) -> Play:
    play = Play(queue_)
    for index, (op, who, lane, slots) in enumerate(ops):
        play.do(index, op, SlotRequest(f"j{index}", lane, f"t{who}", slots))
    return play


@settings(deadline=None)
@given(OPS, st.integers(1, 5), st.integers(1, 4))
def test_limits_hold_and_nothing_is_lost(ops: list[Op], route: int, tenant: int) -> None:
    play = Play(queue(route=route, tenant=tenant, models=MODELS))
    for index, (op, who, lane, slots) in enumerate(ops):
        play.do(index, op, SlotRequest(f"j{index}", lane, f"t{who}", slots))
        for counted in {one for running in play.running.values() for one in running.key.levels}:
            jobs = play.taken(counted)
            assert len(jobs) == 1 or sum(job.slots for job in jobs) <= play.queue_.pool.limits.of(counted)
        assert all(count <= tenant for count in Counter(job.tenant for job in play.running.values()).values())
        assert len(play.queue_) == len(play.waiting)
        if not any(play.fits(waiting, tenant) for waiting in play.waiting.values()):
            assert copy.deepcopy(play.queue_).grant_next() is None
    # Whoever waits comes up in the end.
    for _ in range(2 * len(ops) + 1):
        play.do(0, "take", request("nobody"))
        play.do(0, "end", request("nobody"))
    assert not play.waiting
    assert not play.running


@settings(deadline=None)
@given(OPS, st.integers(1, 5))
def test_nobody_waits_for_nothing(ops: list[Op], route: int) -> None:
    """When all run that may, there are too few slots for the first of each queue_."""
    play = played(ops, queue(route=route, models=MODELS))
    for _ in ops:
        play.do(0, "take", request("nobody"))
    first: dict[LimitKey, SlotRequest] = {}
    for waiting in play.waiting.values():
        if play.queue_.position(waiting.job_id) == 0:
            first[waiting.key.route_key] = waiting
    assert first.keys() == {waiting.key.route_key for waiting in play.waiting.values()}
    assert not any(play.fits(waiting, BIG) for waiting in first.values())


@settings(deadline=None)
@given(OPS)
def test_a_position_is_the_number_of_turns_before(ops: list[Op]) -> None:
    play = played(ops, queue(models=dict.fromkeys(MODELS, BIG)))
    for whole in {lane.route_key for lane in LANES}:
        # What would happen: let only this queue_'s jobs go, until nobody is left.
        simulated = copy.deepcopy(play.queue_)
        for job, waiting in play.waiting.items():
            if waiting.key.route_key != whole:
                simulated.remove(job)
        for turn, job in enumerate(drained(simulated)):
            assert play.queue_.position(job) == turn


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 3), st.integers(1, 4))
def test_nobody_is_served_twice_while_another_waits(owners: list[int], limit: int, slots: int) -> None:
    queue_ = queue(route=limit)
    for index, owner in enumerate(owners):
        queue_.enqueue(request(f"{index}", tenant=f"t{owner}", slots=1 + index % slots))
    left = Counter(owners)
    served: Counter[int] = Counter()
    while (job := queue_.grant_next()) is not None:
        queue_.pool.release(job)
        owner = owners[int(job)]
        # No tenant with jobs left is more than one turn behind.
        assert all(served[owner] <= served[other] for other in left if left[other])
        served[owner] += 1
        left[owner] -= 1
    assert served == Counter(owners)


# ---- how many may wait


def filled(limit: int, wishes: list[str]) -> tuple[FairQueue, list[str]]:
    """A queue that takes what it has room for, and the tenants of those jobs."""
    queue_, accepted = queue(), []
    for index, tenant in enumerate(wishes):
        if queue_.queued_by(tenant) < queue_.tenant_limit(tenant, limit):
            queue_.enqueue(request(f"{index}", tenant=tenant))
            accepted.append(tenant)
    return queue_, accepted


def test_lone_tenant_may_fill_the_queue() -> None:
    assert len(filled(10, ["a"] * 20)[1]) == 10


def test_tenant_that_fills_the_queue_shuts_nobody_out() -> None:
    queue_, accepted = filled(10, ["a"] * 20 + ["b"] * 20 + ["c"] * 20 + ["a"] * 5)
    assert Counter(accepted) == {"a": 10, "b": 5, "c": 3}
    for job in range(8):
        queue_.remove(f"{job}")
    assert len(queue_) == 10
    assert queue_.queued_by("a") < queue_.tenant_limit("a", 10)  # it has its share again


def test_no_queue_means_none_for_anybody() -> None:
    assert filled(0, ["a", "b"])[1] == []


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcde"), max_size=80), st.integers(1, 20))
def test_every_tenant_finds_room_and_the_whole_stays_bounded(wishes: list[str], limit: int) -> None:
    queue_, accepted = filled(limit, wishes)
    assert set(accepted) == set(wishes)
    assert len(queue_) <= sum(max(1, limit // number) for number in range(1, 6))
    for job in range(len(wishes)):
        queue_.remove(f"{job}")
    assert queue_.empty
