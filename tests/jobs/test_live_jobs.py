"""Live jobs: entries by id, their summaries, and sums by owner and tenant."""

from __future__ import annotations

import asyncio
import gc

import pytest
from imagegateway.jobs import states
from imagegateway.jobs.live_jobs import LiveJobs
from imagegateway.jobs.segmented_dict import SEGMENT
from imagegateway.jobs.stream import Entry

from tests.jobs import records


def entry(job_id: str, seq: int, state: records.StateValue = states.QUEUED, owner: str = "me/1") -> Entry:
    record = records.job(job_id=job_id, state=state, owner=owner)
    record.task.prompt = "x" * seq
    return Entry(seq, record)


def test_held_job_is_found_as_it_was() -> None:
    live = LiveJobs()
    held = entry("a", 7, states.RUNNING)
    live.hold(held)
    assert live == {"a": held}
    assert live.get("b") is None
    assert live.summary("b") is None
    summary = live.summary("a")
    assert summary
    assert summary == (7, held.record.deadline, "me/1", states.RUNNING, False)
    assert not summary.ended
    assert list(live.summaries()) == [[("a", summary)]]
    assert (live.sequence("a"), live.sequence("b")) == (7, None)


def test_ended_job_with_an_open_call_is_held_with_both_facts() -> None:
    live = LiveJobs()
    held = entry("a", 1, states.CANCELLED)
    held.record.call_open = True
    live.hold(held)
    summary = live.summary("a")
    assert summary
    assert (summary.ended, summary.call_open) == (True, True)


def test_changes_of_a_found_record_are_not_kept() -> None:
    live = LiveJobs()
    live.hold(entry("a", 1))
    live["a"].record.owner = "other/1"
    assert live["a"].record.owner == "me/1"


def test_jobs_are_counted_once_by_owner_and_state() -> None:
    live = LiveJobs()
    live.hold(entry("a", 1))
    live.hold(entry("b", 2, owner="other/1"))
    live.hold(entry("a", 3, states.RUNNING))
    assert (live.count("me/1", states.QUEUED), live.count("me/1", states.RUNNING)) == (0, 1)
    assert live.count("other/1", states.QUEUED) == 1
    live.drop(entry("a", 3).record)
    live.drop(entry("a", 3).record)
    assert live.count("me/1", states.RUNNING) == 0
    assert list(live) == ["b"]


def test_bytes_are_those_of_the_newest_record_of_each_job() -> None:
    live = LiveJobs()
    first, second = entry("a", 10), entry("a", 30)
    live.hold(first)
    live.hold(second)
    live.hold(other := entry("b", 5))
    assert live.bytes_of("acme") == second.record.ByteSize() + other.record.ByteSize()
    live.drop(second.record)
    live.drop(second.record)
    live.drop(other.record)
    assert live.bytes_of("acme") == live.bytes_of("") == 0


async def test_unfinished_jobs_are_those_of_the_call() -> None:
    live = LiveJobs()
    for number in range(SEGMENT + 1):
        live.hold(entry(f"{number}", number + 1))
    live.hold(entry("ended", 1, states.COMPLETED))
    found: list[str] = []

    async def read() -> None:
        found.extend([record.id async for record in live.unfinished()])

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    live.drop(entry(f"{SEGMENT}", 1).record)
    await reading
    assert found == [str(number) for number in range(SEGMENT + 1)]


@pytest.mark.parametrize("count", [1000])
def test_held_jobs_add_no_objects_to_garbage_collections(count: int) -> None:
    live = LiveJobs()
    live.hold(entry("first", 1))
    gc.collect()
    before = len(gc.get_objects())
    for number in range(count):
        live.hold(entry(f"{number}", number + 1, states.RUNNING))
    gc.collect()
    assert len(gc.get_objects()) - before < count / 10
