"""Reconciler on fake parts: which jobs it takes over, resumes and expires, and whose slots it frees."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import states
from imagegateway.jobs.background_tasks import BackgroundTasks
from imagegateway.jobs.job_steps import JobSteps
from imagegateway.jobs.live_jobs import LiveJobs
from imagegateway.jobs.reconciler import BATCH, BATCH_SECONDS, Reconciler
from imagegateway.jobs.segmented_dict import SEGMENT, SegmentedDict
from imagegateway.jobs.stream import Entry
from imagegateway.jobs.stream_errors import StaleError

from tests.jobs import records

ME, EXPIRED, ALIVE = "me/2", "me/1", "other/1"


@dataclass
class Replica:
    """Parts of one replica around its reconciler."""

    live: LiveJobs = field(default_factory=LiveJobs)
    attended: set[str] = field(default_factory=set)
    holders: list[str] = field(default_factory=list)
    """Ids of jobs that hold slots."""
    conflict: bool = False
    resumed: list[tuple[str, float]] = field(default_factory=list)
    """Ids of resumed jobs, and the delay of each in seconds."""
    expired: list[str] = field(default_factory=list)
    recounted: list[str] = field(default_factory=list)
    grants: int = 0
    """Number of times that queued jobs were granted free slots."""

    def __post_init__(self) -> None:
        self.steps = JobSteps(BackgroundTasks())
        self.holding = SegmentedDict[int]()
        self.holding.update(dict.fromkeys(self.holders, 0))
        parts: Any = SimpleNamespace(
            live=self.live,
            owner=ME,
            is_expired=lambda owner: owner == EXPIRED,
            is_attended=self.attended.__contains__,
            holders=self.holding.slices,
            resume=lambda entry, pause=0.0: self.resumed.append((entry.record.id, pause)),
            expire=lambda entry: self.expired.append(entry.record.id),
            recount=self.recounted.append,
            grant_slots=self.grant_slots,
            advance=self.advance,
        )
        self.reconciler = Reconciler(
            feed=parts, writer=parts, membership=parts, admission=parts, worker=parts, steps=self.steps
        )

    def add(self, job_id: str, state: records.StateValue, owner: str = ME, *, call_open: bool = False) -> None:
        record = records.job(job_id=job_id, state=state, owner=owner)
        record.call_open = call_open
        self.live.hold(Entry(len(self.live) + 1, record))

    def grant_slots(self) -> None:
        self.grants += 1

    async def advance(self, entry: Entry, record: JobRecord) -> Entry:
        if self.conflict:
            raise StaleError
        self.live.hold(taken := Entry(entry.seq + 1, record))
        return taken

    async def reconcile(self) -> None:
        await self.reconciler.reconcile()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})


async def test_jobs_of_expired_owners_alone_are_taken_over() -> None:
    replica = Replica()
    for owner in (EXPIRED, ALIVE):
        for state in (states.QUEUED, states.SUBMITTING, states.RUNNING):
            replica.add(f"{owner} {state}", state, owner)
    await replica.reconcile()
    assert [job for job, _ in replica.resumed] == [job for job in replica.live if job.startswith(EXPIRED)]
    assert {entry.record.owner for entry in replica.live.values()} == {ME, ALIVE}


async def test_job_that_another_replica_takes_over_first_is_left_to_it() -> None:
    replica = Replica(conflict=True)
    replica.add("job", states.RUNNING, EXPIRED)
    await replica.reconcile()
    assert not replica.resumed


async def test_ended_job_with_an_open_call_is_taken_over_and_its_call_stopped_by_its_record() -> None:
    replica = Replica()
    replica.add("job", states.CANCELLED, EXPIRED, call_open=True)
    await replica.reconcile()
    assert replica.live["job"].record.owner == ME
    assert not replica.resumed, "the new record makes the worker stop the call"


async def test_running_tasks_are_polled_in_batches_after_a_takeover() -> None:
    replica = Replica()
    for number in range(2 * BATCH + 1):
        replica.add(f"running {number}", states.RUNNING, EXPIRED)
        replica.add(f"queued {number}", states.QUEUED, EXPIRED)
    await replica.reconcile()
    pauses = [pause for job, pause in replica.resumed if job.startswith("running")]
    assert pauses == [0.0] * BATCH + [BATCH_SECONDS] * BATCH + [2 * BATCH_SECONDS]


@pytest.mark.parametrize(
    ("state", "call_open", "resumed"),
    [
        (states.QUEUED, False, True),
        (states.REROUTED, False, True),
        (states.SUBMITTING, False, True),
        (states.RUNNING, False, True),
        (states.COMPLETED, False, False),
        (states.CANCELLED, False, False),
        (states.CANCELLED, True, True),
        (states.FAILED, True, True),
    ],
)
async def test_own_job_is_resumed_where_nothing_attends_it(
    state: records.StateValue, *, call_open: bool, resumed: bool
) -> None:
    replica = Replica(attended={"attended"})
    for job_id in ("job", "attended"):
        replica.add(job_id, state, call_open=call_open)
    await replica.reconcile()
    assert replica.resumed == ([("job", 0.0)] if resumed else [])


@pytest.mark.parametrize(
    ("state", "owner", "expired"),
    [
        (states.QUEUED, ME, True),
        (states.REROUTED, ME, True),
        (states.SUBMITTING, ME, False),
        (states.RUNNING, ME, False),
        (states.QUEUED, ALIVE, False),
    ],
)
async def test_own_waiting_job_past_its_deadline_expires(
    state: records.StateValue, owner: str, *, expired: bool
) -> None:
    replica = Replica(attended={"late", "early"})
    replica.add("late", state, owner)
    replica.add("early", state, owner)
    late = replica.live["late"]
    late.record.deadline = 1
    replica.live.hold(late)
    await replica.reconcile()
    assert replica.expired == (["late"] if expired else [])


async def test_busy_job_is_left_alone_and_other_holders_of_slots_are_recounted() -> None:
    replica = Replica(holders=["busy", "idle"])
    replica.add("busy", states.RUNNING)
    replica.steps.spawn(JobRecord(id="busy"), asyncio.sleep(0))
    await replica.reconcile()
    assert (replica.resumed, replica.recounted, replica.grants) == ([], ["idle"], 1)


@pytest.mark.parametrize(("counted_by", "recounted"), [(1, []), (0, ["job"]), (2, ["job"])])
async def test_holder_of_slots_is_recounted_unless_its_newest_record_asked_for_them(
    counted_by: int, recounted: list[str]
) -> None:
    replica = Replica(attended={"job"})
    replica.add("job", states.RUNNING)
    replica.holding["job"] = counted_by
    await replica.reconcile()
    assert replica.recounted == recounted


async def test_stopped_reconciler_does_nothing() -> None:
    replica = Replica(holders=["job"])
    replica.add("job", states.RUNNING)
    replica.add("other", states.RUNNING, EXPIRED)
    replica.reconciler.stop()
    await replica.reconcile()
    assert (replica.resumed, replica.recounted, replica.grants) == ([], [], 0)


@pytest.mark.parametrize("count", [SEGMENT - 1, SEGMENT, 3 * SEGMENT + 1])
async def test_pass_handles_one_slice_of_jobs_in_each_iteration_of_the_event_loop(count: int) -> None:
    replica = Replica(holders=[f"job {number}" for number in range(count)])
    for number in range(count):
        replica.add(f"job {number}", states.RUNNING)
    steps: list[int] = []

    async def watch() -> None:
        resumed = recounted = 0
        while True:
            steps.extend((len(replica.resumed) - resumed, len(replica.recounted) - recounted))
            resumed, recounted = len(replica.resumed), len(replica.recounted)
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    await replica.reconciler.reconcile()
    watching.cancel()
    assert len(replica.resumed) == len(replica.recounted) == count
    assert max(steps, default=0) <= SEGMENT


async def test_job_that_ends_during_a_pass_is_left_alone() -> None:
    replica = Replica()
    for number in range(SEGMENT + 1):
        replica.add(f"job {number}", states.RUNNING)
    ended = replica.live[f"job {SEGMENT}"].record
    passing = asyncio.create_task(replica.reconciler.reconcile())
    await asyncio.sleep(0)
    replica.live.drop(ended)
    await passing
    assert ended.id not in [job for job, _ in replica.resumed]
    assert len(replica.resumed) == SEGMENT


async def test_stop_ends_a_pass() -> None:
    replica = Replica(holders=["job 0"])
    for number in range(SEGMENT + 1):
        replica.add(f"job {number}", states.RUNNING)
    passing = asyncio.create_task(replica.reconciler.reconcile())
    await asyncio.sleep(0)
    replica.reconciler.stop()
    await passing
    assert (len(replica.resumed), replica.recounted, replica.grants) == (SEGMENT, [], 0)
