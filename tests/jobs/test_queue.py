"""AdmissionControl, limits and positions."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from imagegateway.jobs.fair_queue import FEW, KEPT, FairQueue, LimitKey, Limits, SlotRequest

BIG = 1000


def queue(
    *, route: int = BIG, tenant: int = BIG, models: dict[tuple[str, str], int] | None = None, **routes: int
) -> FairQueue:
    return FairQueue(Limits(routes=routes, default=route, tenant=tenant, models=models or {}))


def claim(job: str, route: str = "local", tenant: str = "", places: int = 1, model: str = "") -> SlotRequest:
    """A claim of a job whose tenant is, unless told, the first letter of its id."""
    return SlotRequest(job, LimitKey(route, model=model), tenant or job[0], places)


def drained(line: FairQueue) -> list[str]:
    """All that may run, in order."""
    return list(iter(line.take, None))


def test_tenants_take_turns() -> None:
    line = queue()
    for job in ("a1", "a2", "a3", "b1", "c1", "c2"):
        line.wait(claim(job))
    assert line.waiting == 6
    assert drained(line) == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert line.waiting == 0


def test_a_late_tenant_does_not_wait_for_a_long_line() -> None:
    line = queue(route=1)
    for index in range(100):
        line.wait(claim(f"a{index}"))
    assert line.take() == "a0"
    line.wait(claim("b0"))
    assert line.position("b0") == 1
    line.end("a0")
    assert line.take() == "a1"
    line.end("a1")
    assert line.take() == "b0"


def shared(limit: int) -> FairQueue:
    return FairQueue(Limits(routes={}, default=limit, tenant=BIG, multi_tenant=lambda: True))


def test_tenant_that_fills_a_route_leaves_slots_for_another_tenant() -> None:
    line = shared(FEW)
    for index in range(100):
        line.wait(claim(f"a{index}"))
    assert len(drained(line)) == FEW - FEW // KEPT
    assert line.free(claim("b0"))
    line.wait(claim("b0"))
    assert line.take() == "b0"
    assert line.take() is None
    line.end("b0")
    line.wait(claim("c0"))
    assert line.take() == "c0", "a tenant over its share holds up nobody else"


def test_lone_tenant_may_hold_every_slot() -> None:
    line = queue(route=FEW)
    for index in range(100):
        line.wait(claim(f"a{index}"))
    assert len(drained(line)) == FEW


def test_key_of_a_tenant_has_every_slot_of_its_own() -> None:
    line = shared(FEW)
    for index in range(100):
        line.wait(SlotRequest(f"a{index}", LimitKey("bfl", account="fingerprint"), "a"))
    assert len(drained(line)) == FEW


def test_few_slots_are_not_divided() -> None:
    line = shared(FEW - 1)
    for index in range(100):
        line.wait(claim(f"a{index}"))
    assert len(drained(line)) == FEW - 1


def test_job_of_more_slots_than_a_share_runs_where_its_tenant_holds_none() -> None:
    line = shared(FEW)
    line.wait(claim("a0", places=FEW))
    assert line.take() == "a0"


def test_a_route_has_its_own_limit() -> None:
    line = queue(route=2, slow=1)
    for index in range(4):
        line.wait(claim(f"f{index}", "fast", "a"))
        line.wait(claim(f"s{index}", "slow", "a"))
    assert Counter(job[0] for job in drained(line)) == {"f": 2, "s": 1}
    line.end("s0")
    assert line.take() == "s1"
    assert line.take() is None


def test_a_new_job_passes_nobody_by_who_waits_for_the_same_places() -> None:
    line = queue(route=4)
    line.run(claim("a1", places=2))
    assert line.free(claim("b1", places=2))
    assert not line.free(claim("b1", places=3))
    line.wait(claim("b1", places=3))
    assert line.take() is None
    assert not line.free(claim("c1")), "it would take what b1 waits for"
    line.wait(claim("c1"))
    assert line.take() is None, "as it would from its place in line"
    assert line.free(claim("c1", "other"))
    line.end("a1")
    assert drained(line) == ["b1", "c1"]


def test_a_job_that_takes_more_places_than_there_are_runs_alone() -> None:
    line = queue(route=4)
    line.run(claim("a1"))
    line.wait(claim("b1", places=10))
    line.wait(claim("c1"))
    assert line.take() is None
    line.end("a1")
    assert line.take() == "b1"
    assert line.take() is None
    line.end("b1")
    assert line.take() == "c1"


def test_a_model_has_places_of_its_own_within_its_route() -> None:
    limits = Limits(routes={"bfl": 4}, default=BIG, tenant=BIG, models={("bfl", "max"): 2})
    assert limits.key("bfl", "", "max") == LimitKey("bfl", model="max")
    assert limits.key("bfl", "", "pro") == LimitKey("bfl")
    assert limits.key("fal", "", "max") == LimitKey("fal")
    line = queue(bfl=4, models={("bfl", "max"): 2})
    for job in ("a1", "a2", "a3", "a4"):
        line.wait(claim(job, "bfl", model="max"))
    for job in ("a5", "a6", "a7"):
        line.wait(claim(job, "bfl"))
    assert drained(line) == ["a1", "a2", "a5", "a6"], "a full model does not hold up its tenant's others"
    line.end("a5")
    assert line.take() == "a7"
    line.end("a1")
    assert line.take() == "a3"
    line.end("a6")
    assert line.take() is None
    assert line.free(claim("b1", "bfl")), "who waits for the model's places does not wait for these"
    assert not line.free(claim("b1", "bfl", model="max"))
    line.end("a2")
    assert not line.free(claim("b1", "bfl")), "it is the turn of one who waited"
    assert line.take() == "a4"


def test_each_key_has_the_whole_limit() -> None:
    line = queue(bfl=2)
    own = [SlotRequest(f"k{index}", LimitKey("bfl", account="k"), "a") for index in range(3)]
    for index in range(3):
        line.wait(claim(f"a{index}", "bfl"))
        line.wait(own[index])
    assert sorted(drained(line)) == ["a0", "a1", "k0", "k1"]
    assert not line.free(claim("b", "bfl"))
    assert line.free(SlotRequest("b", LimitKey("bfl", account="l"), "b"))
    line.end("k0")
    assert line.take() == "k2"


def test_keys_that_are_gone_leave_nothing() -> None:
    line = queue(bfl=1, models={("bfl", "max"): 1})
    for index in range(10):
        for job in ("w", "r"):
            lane = LimitKey("bfl", account=f"k{index}", model="max")
            line.wait(SlotRequest(f"{job}{index}", lane, f"t{index}"))
    assert len(drained(line)) == 10
    for index in range(10):
        line.end(f"w{index}")
        line.leave(f"r{index}")
    assert not any((line._lines, line._taken, line._by_tenant, line._waiting, line._running))


def test_a_tenant_at_its_limit_holds_up_nobody_else() -> None:
    line = queue(route=10, tenant=2)
    for job in ("a1", "a2", "a3", "b1"):
        line.wait(claim(job))
    assert drained(line) == ["a1", "b1", "a2"]
    assert not line.free(claim("a", "other"))
    assert line.free(claim("b", "other"))
    assert line.free(claim("b"))
    line.end("a1")
    assert line.take() == "a3"


def test_running_and_ending_may_be_said_twice() -> None:
    line = queue(route=2)
    for _ in range(3):
        assert not line.run(claim("a"))
    assert line.free(claim("x"))
    line.run(claim("b"))
    assert not line.free(claim("x"))
    assert [line.end("a") for _ in range(3)] == [True, False, False]
    assert line.free(claim("x"))
    line.run(claim("c"))
    assert not line.free(claim("x"))
    assert not line.end("nobody")
    assert not line.free(claim("x"))


def test_a_job_that_turns_to_another_route_takes_its_places_along() -> None:
    line = queue(first=2, second=5)
    line.run(claim("a", "first", places=2))
    line.wait(claim("b", "first"))
    assert line.run(claim("a", "second", places=4)), "there is room on the first route now"
    assert line.take() == "b"
    assert not line.free(claim("c", "second", places=2))
    assert line.free(claim("c", "second"))
    assert line.end("a")
    assert line.free(claim("c", "second", places=5))


def test_leaving() -> None:
    line = queue()
    for job in ("a1", "a2", "b1"):
        line.wait(claim(job))
    assert [line.leave(job) for job in ("a1", "a1", "x")] == [True, False, False]
    assert line.waiting == 2
    assert line.position("a1") is None
    line.leave("b1")
    assert drained(line) == ["a2"]


def test_no_position_for_what_does_not_wait() -> None:
    line = queue()
    assert line.position("a") is None
    line.wait(claim("a"))
    line.wait(claim("a"))
    assert line.position("a") == 0
    assert line.position("b") is None
    assert line.take() == "a"
    assert line.position("a") is None
    assert line.take() is None


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

    line: FairQueue
    waiting: dict[str, SlotRequest] = field(default_factory=dict)
    running: dict[str, SlotRequest] = field(default_factory=dict)

    def do(self, index: int, op: str, asked: SlotRequest) -> None:
        match op:
            case "wait":
                self.waiting[asked.job_id] = asked
                self.line.wait(asked)
            case "enter" if self.line.free(asked):
                self.running[asked.job_id] = asked
                self.line.run(asked)
            case "take":
                job = self.line.take()
                if job is not None:
                    self.running[job] = self.waiting.pop(job)
            case "leave" if self.waiting:
                job = sorted(self.waiting)[index % len(self.waiting)]
                del self.waiting[job]
                assert self.line.leave(job)
            case "end" if self.running:
                job = sorted(self.running)[index % len(self.running)]
                del self.running[job]
                assert self.line.end(job)
            case "move" if self.running:
                job = sorted(self.running)[index % len(self.running)]
                moved = SlotRequest(job, asked.lane, self.running[job].tenant, asked.places)
                if self.line.free(moved):
                    self.running[job] = moved
                    self.line.run(moved)

    def taken(self, lane: LimitKey) -> list[SlotRequest]:
        return [running for running in self.running.values() if lane in running.lane.counts]

    def fits(self, asked: SlotRequest, tenant: int) -> bool:
        """Whether there are places for a job, by the plain account."""
        counts = [(self.taken(lane), self.line.limits.of(lane)) for lane in asked.lane.counts]
        owned = sum(running.tenant == asked.tenant for running in self.running.values())
        return owned < tenant and all(
            not jobs or sum(job.places for job in jobs) + asked.places <= limit for jobs, limit in counts
        )


def played(ops: list[Op], line: FairQueue) -> Play:
    play = Play(line)
    for index, (op, who, lane, places) in enumerate(ops):
        play.do(index, op, SlotRequest(f"j{index}", lane, f"t{who}", places))
    return play


@settings(deadline=None)
@given(OPS, st.integers(1, 5), st.integers(1, 4))
def test_limits_hold_and_nothing_is_lost(ops: list[Op], route: int, tenant: int) -> None:
    play = Play(queue(route=route, tenant=tenant, models=MODELS))
    for index, (op, who, lane, places) in enumerate(ops):
        play.do(index, op, SlotRequest(f"j{index}", lane, f"t{who}", places))
        for counted in {one for running in play.running.values() for one in running.lane.counts}:
            jobs = play.taken(counted)
            assert len(jobs) == 1 or sum(job.places for job in jobs) <= play.line.limits.of(counted)
        assert all(count <= tenant for count in Counter(job.tenant for job in play.running.values()).values())
        assert play.line.waiting == len(play.waiting)
        if not any(play.fits(waiting, tenant) for waiting in play.waiting.values()):
            assert copy.deepcopy(play.line).take() is None
    # Whoever waits comes up in the end.
    for _ in range(2 * len(ops) + 1):
        play.do(0, "take", claim("nobody"))
        play.do(0, "end", claim("nobody"))
    assert not play.waiting
    assert not play.running


@settings(deadline=None)
@given(OPS, st.integers(1, 5))
def test_nobody_waits_for_nothing(ops: list[Op], route: int) -> None:
    """When all run that may, there are too few places for the first of each line."""
    play = played(ops, queue(route=route, models=MODELS))
    for _ in ops:
        play.do(0, "take", claim("nobody"))
    first: dict[LimitKey, SlotRequest] = {}
    for waiting in play.waiting.values():
        if play.line.position(waiting.job_id) == 0:
            first[waiting.lane.whole] = waiting
    assert first.keys() == {waiting.lane.whole for waiting in play.waiting.values()}
    assert not any(play.fits(waiting, BIG) for waiting in first.values())


@settings(deadline=None)
@given(OPS)
def test_a_position_is_the_number_of_turns_before(ops: list[Op]) -> None:
    play = played(ops, queue(models=dict.fromkeys(MODELS, BIG)))
    for whole in {lane.whole for lane in LANES}:
        # What would happen: let only this line's jobs go, until nobody is left.
        simulated = copy.deepcopy(play.line)
        for job, waiting in play.waiting.items():
            if waiting.lane.whole != whole:
                simulated.leave(job)
        for turn, job in enumerate(drained(simulated)):
            assert play.line.position(job) == turn


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 3), st.integers(1, 4))
def test_nobody_is_served_twice_while_another_waits(owners: list[int], limit: int, places: int) -> None:
    line = queue(route=limit)
    for index, owner in enumerate(owners):
        line.wait(claim(f"{index}", tenant=f"t{owner}", places=1 + index % places))
    left = Counter(owners)
    served: Counter[int] = Counter()
    while (job := line.take()) is not None:
        line.end(job)
        owner = owners[int(job)]
        # No tenant with jobs left is more than one turn behind.
        assert all(served[owner] <= served[other] for other in left if left[other])
        served[owner] += 1
        left[owner] -= 1
    assert served == Counter(owners)


# ---- how many may wait


def filled(limit: int, wishes: list[str]) -> tuple[FairQueue, list[str]]:
    """A queue that takes what it has room for, and the tenants of those jobs."""
    line, accepted = queue(), []
    for index, tenant in enumerate(wishes):
        if line.waiting_of(tenant) < line.share(tenant, limit):
            line.wait(claim(f"{index}", tenant=tenant))
            accepted.append(tenant)
    return line, accepted


def test_lone_tenant_may_fill_the_queue() -> None:
    assert len(filled(10, ["a"] * 20)[1]) == 10


def test_tenant_that_fills_the_queue_shuts_nobody_out() -> None:
    line, accepted = filled(10, ["a"] * 20 + ["b"] * 20 + ["c"] * 20 + ["a"] * 5)
    assert Counter(accepted) == {"a": 10, "b": 5, "c": 3}
    for job in range(8):
        line.leave(f"{job}")
    assert line.waiting == 10
    assert line.waiting_of("a") < line.share("a", 10)  # it has its share again


def test_no_queue_means_none_for_anybody() -> None:
    assert filled(0, ["a", "b"])[1] == []


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcde"), max_size=80), st.integers(1, 20))
def test_every_tenant_finds_room_and_the_whole_stays_bounded(wishes: list[str], limit: int) -> None:
    line, accepted = filled(limit, wishes)
    assert set(accepted) == set(wishes)
    assert line.waiting <= sum(max(1, limit // number) for number in range(1, 6))
    for job in range(len(wishes)):
        line.leave(f"{job}")
    assert not line._waiting_by_tenant
