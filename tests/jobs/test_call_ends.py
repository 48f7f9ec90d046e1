"""Open calls on fake parts: each is stopped, joined or polled to its end, and closed once with its cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.jobs import states
from imagegateway.jobs.open_calls import OpenCalls
from imagegateway.jobs.polling import PollSchedule
from imagegateway.jobs.stream import Entry
from imagegateway.v1.job_pb2 import Cost

from tests.jobs import records

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.provider.v1 import provider_service_pb2 as provider

COST = Cost(amount=0.5, currency="USD")


@dataclass
class Call:
    """The open call of an ended job. `steps` names each step, in order."""

    entry: Entry
    joined: provider.TaskState = field(default_factory=records.done)
    polled: provider.TaskState | None = None
    is_stopped: bool = False
    """True if the provider confirms a stop."""
    is_forgotten: bool = False
    """True if the stream no longer keeps the job."""
    steps: list[str] = field(default_factory=list)
    polls: PollSchedule = field(default_factory=PollSchedule)

    @property
    def record(self) -> JobRecord:
        return self.entry.record

    @property
    def open_calls(self) -> OpenCalls:
        parts: Any = SimpleNamespace(
            last_patiently=self.last,
            update=self.update,
            stop=self.stop,
            join=self.join,
            poll=self.poll,
            cost=lambda _record, _done: COST,
            delete=self.delete,
        )
        return OpenCalls(
            stream=parts, writer=parts, calls=parts, polls=self.polls, pricing=parts, store=parts, owner="me"
        )

    async def last(self, _job_id: str) -> Entry | None:
        return None if self.is_forgotten else self.entry

    async def update(self, entry: Entry, change: Callable[[JobRecord], bool], *, patient: bool) -> Entry:
        assert patient, "the call is paid for: its end is written whenever the engine is back"
        record = entry.copy()
        if change(record):
            self.entry = Entry(entry.seq + 1, record)
        return self.entry

    async def stop(self, _record: JobRecord) -> bool:
        self.steps.append("stop")
        return self.is_stopped

    async def join(self, _record: JobRecord) -> provider.TaskState:
        self.steps.append("join")
        return self.joined

    async def poll(self, _record: JobRecord) -> provider.TaskState | None:
        self.steps.append("poll")
        return self.polled

    async def delete(self, keys: list[str]) -> None:
        self.steps.append(f"delete {' '.join(keys)}")


def call(
    *, task_ref: str = "", owner: str = "me", state: records.StateValue = states.CANCELLED, **fields: Any
) -> Call:
    """Return an ended job's call, which is open; `task_ref`: the provider's task, if it is known."""
    record = records.job(state=state, owner=owner)
    record.task_ref = task_ref
    record.call_open = state == states.CANCELLED
    record.upload_keys.append("input")
    return Call(Entry(10, record), **fields)


async def test_conflict_during_a_call_waits_for_its_result() -> None:
    lost = call()
    await lost.open_calls.on_conflict(lost.entry, None)
    assert lost.steps == ["join", "delete input"]
    assert (lost.record.cost, lost.record.call_open) == (COST, False)


async def test_conflict_with_a_result_records_its_cost_without_another_call() -> None:
    lost = call(joined=records.refused())
    await lost.open_calls.on_conflict(lost.entry, records.done())
    assert lost.steps == ["delete input"]
    assert (lost.record.cost, lost.record.call_open) == (COST, False)


@pytest.mark.parametrize(
    "lost",
    [call(owner="another"), call(state=states.RUNNING), call(is_forgotten=True)],
    ids=["taken over", "running", "forgotten"],
)
async def test_job_that_another_writer_continues_is_left_to_it(lost: Call) -> None:
    before = lost.entry
    await lost.open_calls.on_conflict(lost.entry, records.done())
    assert (lost.steps, lost.entry) == ([], before)


@pytest.mark.parametrize("is_stopped", [True, False])
async def test_start_is_joined_whether_or_not_it_stops(*, is_stopped: bool) -> None:
    started = call(is_stopped=is_stopped, joined=records.refused())
    await started.open_calls.stop(started.entry)
    assert started.steps == ["stop", "join", "delete input"]
    assert not started.record.call_open
    assert not started.record.HasField("cost")


async def test_stopped_task_costs_nothing() -> None:
    task = call(task_ref="task", is_stopped=True)
    await task.open_calls.stop(task.entry)
    assert task.steps == ["stop", "delete input"]
    assert (task.record.call_open, task.record.HasField("cost"), task.polls.due) == (False, False, [])


async def test_task_that_does_not_stop_is_polled_by_one_timer() -> None:
    task = call(task_ref="task")
    await task.open_calls.stop(task.entry)
    await task.open_calls.stop(task.entry)
    assert task.record.call_open
    assert len(task.polls.due) == 1


async def test_start_that_became_a_task_is_stopped() -> None:
    started = call(joined=records.running("task"), is_stopped=True)
    await started.open_calls.stop(started.entry)
    assert started.steps == ["stop", "join", "stop", "delete input"]
    assert (started.record.task_ref, started.record.call_open) == ("task", False)


async def test_start_that_became_a_task_which_does_not_stop_is_polled() -> None:
    started = call(joined=records.running("task"))
    await started.open_calls.stop(started.entry)
    assert started.steps == ["stop", "join", "stop"]
    assert (started.record.task_ref, started.record.call_open) == ("task", True)
    assert len(started.polls.due) == 1


async def test_running_task_is_polled_without_another_stop() -> None:
    task = call(task_ref="task", polled=records.running("task"))
    await task.open_calls.poll(task.entry, late=False)
    assert task.steps == ["poll"]
    assert len(task.polls.due) == 1
    task.polled = records.done()
    await task.open_calls.poll(task.entry, late=False)
    assert (task.record.cost, task.record.call_open) == (COST, False)


async def test_unanswered_poll_is_repeated() -> None:
    task = call(task_ref="task")
    await task.open_calls.poll(task.entry, late=False)
    assert len(task.polls.due) == 1
    assert task.record.call_open


async def test_task_past_its_deadline_is_given_up() -> None:
    task = call(task_ref="task", polled=records.done())
    await task.open_calls.poll(task.entry, late=True)
    assert task.steps == ["delete input"]
    assert (task.record.call_open, task.record.HasField("cost")) == (False, False)


async def test_call_that_was_closed_meanwhile_is_not_polled_again() -> None:
    closed = call(joined=records.running("task"))
    closed.record.call_open = False
    await closed.open_calls.stop(closed.entry)
    assert closed.steps == ["stop", "join"]
    assert not closed.polls.due
