"""The state machine: its table, and what any interleaving of replicas, cancels and crashes makes of it."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.common import ids
from services.common.catalog import Route
from services.common.errors import GatewayError
from services.common.store import MediaStore
from services.jobs import states
from services.jobs.outcome import MAX_STARTS
from services.jobs.states import IllegalTransitionError
from services.jobs.stream import StaleError
from tests.jobs import records
from tests.jobs.families import ScriptedFamilies
from tests.jobs.memory import Log, MemoryStream
from tests.jobs.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from imagegateway.provider.v1 import provider_service_pb2 as provider

ALL = JobRecord.State.values()
RANK = {
    JobRecord.STATE_UNSPECIFIED: 0,
    states.QUEUED: 1,
    states.SUBMITTING: 2,
    states.REROUTED: 2,
    states.RUNNING: 3,
    states.COMPLETED: 4,
    states.FAILED: 4,
    states.CANCELLED: 4,
}
ALLOWED = {
    ("unspecified", "queued"),
    ("unspecified", "submitting"),
    ("queued", "queued"),
    ("queued", "submitting"),
    ("queued", "failed"),
    ("queued", "cancelled"),
    ("submitting", "submitting"),
    ("submitting", "rerouted"),
    ("rerouted", "rerouted"),
    ("rerouted", "submitting"),
    ("rerouted", "failed"),
    ("rerouted", "cancelled"),
    ("submitting", "running"),
    ("submitting", "completed"),
    ("submitting", "failed"),
    ("submitting", "cancelled"),
    ("running", "running"),
    ("running", "completed"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("completed", "completed"),
    ("failed", "failed"),
    ("cancelled", "cancelled"),
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(ALL, ALL)))
def test_each_pair_of_states(before: records.StateValue, after: records.StateValue) -> None:
    if (states.token(before), states.token(after)) in ALLOWED:
        states.check(before, after)
    else:
        with pytest.raises(IllegalTransitionError):
            states.check(before, after)


def test_the_table_is_whole() -> None:
    assert set(states.NEXT) == set(ALL)
    assert {state for state in ALL if not states.NEXT[state] - {state}} == states.TERMINAL
    assert set(states.PUBLIC) == set(ALL) - {JobRecord.STATE_UNSPECIFIED}
    assert set(states.PUBLIC.values()) == {"queued", "running", "completed", "failed", "cancelled"}
    assert set(states.PUBLIC) == states.ACTIVE | states.TERMINAL | states.WAITING
    assert len(states.ACTIVE) + len(states.TERMINAL) + len(states.WAITING) == len(states.PUBLIC)


@settings(deadline=None)
@given(st.lists(st.sampled_from(ALL), max_size=12))
def test_no_way_leads_back(wishes: list[records.StateValue]) -> None:
    state: records.StateValue = JobRecord.STATE_UNSPECIFIED
    ended: set[records.StateValue] = set()
    for wish in wishes:
        if wish in states.NEXT[state]:
            assert RANK[wish] >= RANK[state]
            state = wish
        ended |= {state} & states.TERMINAL
    assert len(ended) <= 1


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(sorted(states.PUBLIC)), st.booleans()), max_size=25),
)
def test_writers_that_know_different_pasts(steps: list[tuple[int, records.StateValue, bool]]) -> None:
    """Each of three writers holds what it last read; whatever it tries, the stored past is a legal one."""

    async def run() -> None:
        log = Log()
        streams = [MemoryStream(log) for _ in range(3)]
        first = await streams[0].create(records.job())
        held = [first] * 3
        for writer, wish, read in steps:
            if read:
                held[writer] = await streams[writer].last(first.record.id) or first
            try:
                held[writer] = await streams[writer].advance(held[writer], records.follow(held[writer], wish))
            except (StaleError, IllegalTransitionError):
                continue
        assert_lawful(log, first.record.id)

    asyncio.run(run())


def assert_lawful(log: Log, job_id: str) -> None:
    """Nothing backwards, one end at most."""
    past = [entry.record.state for entry in log.records(job_id)]
    for before, after in itertools.pairwise([JobRecord.STATE_UNSPECIFIED, *past]):
        assert after in states.NEXT[before]
    assert len(set(past) & states.TERMINAL) <= 1


# ---- two replicas, step by step

STEPS = st.lists(
    st.one_of(
        *[st.tuples(st.just("go"), st.integers(0, 7))] * 6,
        st.tuples(st.just("submit"), st.integers(0, 1)),
        st.tuples(st.just("twin"), st.integers(0, 1)),
        st.tuples(st.just("cancel"), st.integers(0, 1)),
        st.tuples(st.just("crash"), st.integers(0, 1)),
        st.tuples(st.just("start"), st.integers(0, 1)),
        st.tuples(st.just("look"), st.integers(0, 1)),
    ),
    max_size=80,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MediaStore:
    folder: Path = tmp_path_factory.mktemp("media")
    return MediaStore.open(folder.as_uri())


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS, st.booleans(), st.sampled_from(["done", "running", "failed", "turned away"]))
def test_any_interleaving_ends_each_job_once(
    store: MediaStore, steps: list[tuple[str, int]], repeatable: bool, answer: str
) -> None:
    asyncio.run(_interleave(store, steps, repeatable=repeatable, answer=answer))


async def _interleave(store: MediaStore, steps: list[tuple[str, int]], *, repeatable: bool, answer: str) -> None:
    families = ScriptedFamilies()

    by_route: Counter[tuple[str, str]] = Counter()

    async def start(request: provider.StartRequest) -> provider.TaskState:
        by_route[request.job_id, request.task.route] += 1
        if answer == "turned away" and request.task.route == "local":
            return records.refused(ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE, accepted=False)
        answers = {"done": records.done, "running": records.running, "failed": records.refused}
        return answers.get(answer, records.running)()

    async def poll(request: provider.PollRequest) -> provider.TaskState:
        polls = families.polls[request.job_id]
        return records.done() if polls > 2 else records.running(progress=30 * polls)

    families.on_start, families.on_poll = start, poll
    world = World(store, families, fallback=_second_route)
    tried: list[JobRecord] = []
    try:
        await world.serve()
        for step, choice in steps:
            await world.settle()
            match step:
                case "go":
                    world.gates.release(choice)
                case "submit":
                    tried.append(records.job(repeatable=repeatable, tenant=f"t{choice}"))
                    world.submit(choice, _copied(tried[-1]))
                case "twin" if tried:
                    world.submit(choice, _copied(tried[-1]))
                case "cancel" if tried:
                    world.cancel(choice, tried[-1].id)
                case "crash":
                    world.crash(choice)
                case "start":
                    world.start(choice)
                case "look":
                    world.look(choice)
        await world.finish()
        for record in tried:
            _assert_ended_once(world, record.id)
            for route in ("local", "second"):
                assert by_route[record.id, route] <= (MAX_STARTS if repeatable and route == "local" else 1)
        for life in world.lives:
            assert life is not None
            assert life.ready
            assert not life.hub.live, "an ended job is still held"
            assert life.runner._turns._queue.waiting == 0
            assert not life.runner._turns._queue._running, "an ended job still takes up a place"
    finally:
        await world.close()


def _copied(record: JobRecord) -> JobRecord:
    copied = JobRecord()
    copied.CopyFrom(record)
    return copied


def _second_route(task: provider.ImageTask, avoid: Callable[[str], bool], _stored: Collection[str]) -> Route | None:
    """A route that is tried after the first one."""
    second = Route("second", "async", "")
    return second if task.route == "local" and not avoid("second") else None


def _assert_ended_once(world: World, job_id: str) -> None:
    past = world.log.records(job_id)
    if not past:
        assert job_id not in world.accepted, "an accepted job is lost"
        assert not world.families.starts[job_id], "a job was started before it was written"
        return
    assert_lawful(world.log, job_id)
    assert past[-1].ended, "a job is stuck"
    assert world.families.starts[job_id] <= past[-1].record.starts


async def test_places_of_twins_are_counted_once(store: MediaStore) -> None:
    """Twins with the same id on one replica: the losers don't give back the winner's place."""
    families = ScriptedFamilies()
    release = asyncio.Event()

    async def start(_request: provider.StartRequest) -> provider.TaskState:
        await release.wait()
        return records.done()

    families.on_start = start
    world = World(store, families, route_limit=1)
    world.gates.open = True
    try:
        world.start(0)
        await world.settle()
        job_id = ids.job()
        for _ in range(20):
            world.submit(0, records.job(job_id=job_id))
        await world.settle()
        world.submit(0, records.job())
        await world.settle()
        assert families.starts.total() == 1
        release.set()
        await world.finish()
        assert families.starts.total() == 2
        assert set(families.starts.values()) == {1}
    finally:
        await world.close()


async def test_a_given_up_write_that_turns_up_does_not_run(store: MediaStore) -> None:
    world = World(store)
    try:
        await world.serve()
        world.gates.open = True
        life = world.lives[0]
        assert life is not None
        record = records.job()
        world.gates.held.add("feed")
        world.gates.lossy = True
        with pytest.raises(GatewayError) as caught:
            await life.runner.submit(record)
        world.gates.lossy = False
        assert caught.value.reason == ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE
        assert len(world.log.records(record.id)) == 1
        await world.finish()
        assert [entry.record.state for entry in world.log.records(record.id)] == [
            states.SUBMITTING,
            states.CANCELLED,
        ]
        assert not world.families.starts
        assert not life.hub.live
        assert not life.runner._turns._queue._running
        assert not life.runner._unanswered
    finally:
        await world.close()
