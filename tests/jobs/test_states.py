"""Job state machine: its table, and any interleaving of replicas, cancels and crashes."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import nullcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import states
from imagegateway.jobs.states import IllegalTransitionError
from imagegateway.jobs.stream_errors import StaleError

from tests.jobs import records
from tests.jobs.memory import StreamLog, memory_stream

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
    ("unspecified", "cancelled"),
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


def test_table_allows_and_refuses_each_pair_of_states() -> None:
    for before, after in itertools.product(ALL, ALL):
        allowed = (states.token(before), states.token(after)) in ALLOWED
        with nullcontext() if allowed else pytest.raises(IllegalTransitionError):
            states.check(before, after)


def test_table_is_complete() -> None:
    assert set(states.NEXT) == set(ALL)
    assert {state for state in ALL if not states.NEXT[state] - {state}} == states.TERMINAL
    assert set(states.PUBLIC) == set(ALL) - {JobRecord.STATE_UNSPECIFIED}
    assert set(states.PUBLIC.values()) == {"queued", "running", "completed", "failed", "cancelled"}
    assert set(states.PUBLIC) == states.ACTIVE | states.TERMINAL | states.WAITING
    assert len(states.ACTIVE) + len(states.TERMINAL) + len(states.WAITING) == len(states.PUBLIC)


@settings(deadline=None)
@given(st.lists(st.sampled_from(ALL), max_size=12))
def test_no_transition_leads_back(requested: list[records.StateValue]) -> None:
    state: records.StateValue = JobRecord.STATE_UNSPECIFIED
    ended: set[records.StateValue] = set()
    for state_ in requested:
        if state_ in states.NEXT[state]:
            assert RANK[state_] >= RANK[state]
            state = state_
        ended |= {state} & states.TERMINAL
    assert len(ended) <= 1


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(sorted(states.PUBLIC)), st.booleans()), max_size=25),
)
def test_stale_writers_store_legal_transitions_only(steps: list[tuple[int, records.StateValue, bool]]) -> None:
    """Three writers with stale reads try any transition: the stored history stays legal."""

    async def run() -> None:
        log = StreamLog()
        streams = [memory_stream(log) for _ in range(3)]
        first = await streams[0].create(records.job())
        held = [first] * 3
        for writer, state_, read in steps:
            if read:
                held[writer] = await streams[writer].last(first.record.id) or first
            try:
                held[writer] = await streams[writer].advance(held[writer], records.follow(held[writer], state_))
            except (StaleError, IllegalTransitionError):
                continue
        assert_lawful(log, first.record.id)

    asyncio.run(run())


def assert_lawful(log: StreamLog, job_id: str) -> None:
    """Assert that no transition goes back and that the job ends at most once."""
    past = [entry.record.state for entry in log.records(job_id)]
    for before, after in itertools.pairwise([JobRecord.STATE_UNSPECIFIED, *past]):
        assert after in states.NEXT[before]
    assert len(set(past) & states.TERMINAL) <= 1
