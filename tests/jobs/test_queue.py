"""Turns, limits and positions."""

from __future__ import annotations

import copy
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from services.jobs.queue import Queue

BIG = 1000


def queue(*, route: int = BIG, tenant: int = BIG, **routes: int) -> Queue:
    return Queue(route_limit=routes, default_route_limit=route, tenant_limit=tenant)


def drained(line: Queue) -> list[str]:
    """All that may run, in order."""
    return list(iter(line.take, None))


def test_tenants_take_turns() -> None:
    line = queue()
    for job in ("a1", "a2", "a3", "b1", "c1", "c2"):
        line.wait(job, "local", job[0])
    assert line.waiting == 6
    assert drained(line) == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert line.waiting == 0
    assert line.idle("local")


def test_a_late_tenant_does_not_wait_for_a_long_line() -> None:
    line = queue(route=1)
    for index in range(100):
        line.wait(f"a{index}", "local", "a")
    assert line.take() == "a0"
    line.wait("b0", "local", "b")
    assert line.position("b0", "local", "b") == 1
    line.end("a0")
    assert line.take() == "a1"
    line.end("a1")
    assert line.take() == "b0"


def test_a_route_has_its_own_limit() -> None:
    line = queue(route=2, slow=1)
    for index in range(4):
        line.wait(f"f{index}", "fast", "a")
        line.wait(f"s{index}", "slow", "a")
    assert Counter(job[0] for job in drained(line)) == {"f": 2, "s": 1}
    assert not line.free("slow", "b")
    assert not line.free("fast", "b")
    line.end("s0")
    assert line.free("slow", "b")
    assert line.take() == "s1"
    assert line.take() is None


def test_a_tenant_at_its_limit_holds_up_nobody_else() -> None:
    line = queue(route=10, tenant=2)
    for job in ("a1", "a2", "a3", "b1"):
        line.wait(job, "local", job[0])
    assert drained(line) == ["a1", "b1", "a2"]
    assert not line.free("other", "a")
    assert line.free("other", "b")
    line.end("a1")
    assert line.take() == "a3"


def test_running_and_ending_may_be_said_twice() -> None:
    line = queue(route=2)
    for _ in range(3):
        line.run("a", "local", "t")
    assert line.free("local", "t")
    line.run("b", "local", "t")
    assert not line.free("local", "t")
    for _ in range(3):
        line.end("a")
    assert line.free("local", "t")
    line.run("c", "local", "t")
    assert not line.free("local", "t")
    line.end("nobody")
    assert not line.free("local", "t")


def test_leaving() -> None:
    line = queue()
    for job in ("a1", "a2", "b1"):
        line.wait(job, "local", job[0])
    line.leave("a1", "local", "a")
    line.leave("a1", "local", "a")
    line.leave("b1", "local", "a")  # it stands elsewhere
    line.leave("x", "nowhere", "a")
    assert line.waiting == 2
    assert line.position("a1", "local", "a") is None
    line.leave("b1", "local", "b")
    assert drained(line) == ["a2"]


def test_no_position_for_what_does_not_wait() -> None:
    line = queue()
    assert line.position("a", "local", "t") is None
    line.wait("a", "local", "t")
    assert line.position("a", "local", "t") == 0
    assert line.position("b", "local", "t") is None
    assert line.take() == "a"
    assert line.position("a", "local", "t") is None


OPS = st.lists(
    st.tuples(
        st.sampled_from(["wait", "wait", "wait", "take", "leave", "end"]), st.integers(0, 3), st.integers(0, 1)
    ),
    max_size=60,
)


class Play:
    """Random operations, and who waits and runs by a plain account of them."""

    def __init__(self, line: Queue) -> None:
        self.line = line
        self.waiting: dict[str, tuple[str, str]] = {}
        self.running: dict[str, tuple[str, str]] = {}

    def do(self, index: int, op: str, tenant: str, route: str) -> None:
        match op:
            case "wait":
                self.waiting[f"j{index}"] = (route, tenant)
                self.line.wait(f"j{index}", route, tenant)
            case "take":
                job = self.line.take()
                if job is not None:
                    self.running[job] = self.waiting.pop(job)
            case "leave" if self.waiting:
                job = sorted(self.waiting)[index % len(self.waiting)]
                self.line.leave(job, *self.waiting.pop(job))
            case "end" if self.running:
                job = sorted(self.running)[index % len(self.running)]
                del self.running[job]
                self.line.end(job)


@settings(deadline=None)
@given(OPS, st.integers(1, 4), st.integers(1, 4))
def test_limits_hold_and_nothing_is_held_back(ops: list[tuple[str, int, int]], route: int, tenant: int) -> None:
    play = Play(queue(route=route, tenant=tenant))
    for index, (op, who, where) in enumerate(ops):
        play.do(index, op, f"t{who}", f"r{where}")
        by_route = Counter(place for place, _ in play.running.values())
        by_tenant = Counter(owner for _, owner in play.running.values())
        assert all(count <= route for count in by_route.values())
        assert all(count <= tenant for count in by_tenant.values())
        assert play.line.waiting == len(play.waiting)
        if op == "take":
            may = any(by_route[place] < route and by_tenant[owner] < tenant for place, owner in play.waiting.values())
            assert not may or copy.deepcopy(play.line).take() is not None
    # Whoever waits comes up in the end.
    while play.waiting or play.running:
        play.do(0, "take", "", "")
        play.do(0, "end", "", "")


@settings(deadline=None)
@given(OPS)
def test_a_position_is_the_number_of_turns_before(ops: list[tuple[str, int, int]]) -> None:
    play = Play(queue())
    for index, (op, who, where) in enumerate(ops):
        play.do(index, op, f"t{who}", f"r{where}")
    for route in ("r0", "r1"):
        # What would happen: let only this route's jobs go, until nobody is left.
        simulated = copy.deepcopy(play.line)
        for job, (other, tenant) in play.waiting.items():
            if other != route:
                simulated.leave(job, other, tenant)
        for turn, job in enumerate(drained(simulated)):
            assert play.line.position(job, *play.waiting[job]) == turn


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 3))
def test_nobody_is_served_twice_while_another_waits(owners: list[int], limit: int) -> None:
    line = queue(route=limit)
    for index, owner in enumerate(owners):
        line.wait(f"{index}", "local", f"t{owner}")
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
