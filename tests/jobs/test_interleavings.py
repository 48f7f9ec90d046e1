"""Any interleaving of two replicas, their callers, crashes and lost messages, step by step."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imagegateway.jobs import polling, states, stream_connection, submission
from imagegateway.jobs.membership import LEASE_SECONDS
from imagegateway.jobs.transitions import MAX_ATTEMPTS
from imagegateway.media.store import MediaStore
from imagegateway.platform import backoff, ids
from imagegateway.platform.errors import GatewayError
from imagegateway.providers.catalog import Mode, Route
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.jobs import records
from tests.jobs.replica_pair import ReplicaPair
from tests.jobs.scripted_providers import ScriptedProviders
from tests.jobs.test_states import assert_lawful
from tests.support.examples import examples

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.provider.v1 import provider_service_pb2 as provider

STEPS = st.lists(
    st.one_of(
        *[st.tuples(st.just("go"), st.integers(0, 7))] * 6,
        st.tuples(st.just("submit"), st.integers(0, 1)),
        st.tuples(st.just("submit with a key"), st.integers(0, 1)),
        st.tuples(st.just("twin"), st.integers(0, 1)),
        st.tuples(st.just("hang up"), st.integers(0, 3)),
        st.tuples(st.just("cancel"), st.integers(0, 1)),
        st.tuples(st.just("write failed"), st.integers(1, 5)),
        st.tuples(st.just("answer lost"), st.integers(1, 5)),
        st.tuples(st.just("crash"), st.integers(0, 1)),
        st.tuples(st.just("start"), st.integers(0, 1)),
        st.tuples(st.just("reconcile"), st.integers(0, 1)),
    ),
    max_size=80,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MediaStore:
    folder: Path = tmp_path_factory.mktemp("media")
    return MediaStore.open(folder.as_uri())


@pytest.fixture(scope="module", autouse=True)
def _no_pauses() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backoff, "FIRST_SECONDS", 0.0)
        patch.setattr(polling, "RETRY_SECONDS", 0.0)
        patch.setattr(stream_connection, "RETRY_PAUSE", 0.0)
        yield


@settings(max_examples=examples(3), deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS, st.booleans(), st.booleans(), st.sampled_from(["done", "running", "failed", "turned away"]))
def test_each_job_ends_once_and_holds_nothing(
    store: MediaStore, steps: list[tuple[str, int]], repeatable: bool, stops: bool, answer: str
) -> None:
    asyncio.run(_interleave(store, steps, repeatable=repeatable, stops=stops, answer=answer))


async def _interleave(
    store: MediaStore, steps: list[tuple[str, int]], *, repeatable: bool, stops: bool, answer: str
) -> None:
    providers = ScriptedProviders()
    providers.stops = stops
    by_route: Counter[tuple[str, str]] = Counter()

    async def start(request: provider.StartRequest) -> provider.TaskState:
        by_route[request.job_id, request.task.route] += 1
        if answer == "turned away" and request.task.route == "local":
            return records.refused(ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE, may_be_billed=False)
        answers = {"done": records.done, "running": records.running, "failed": records.refused}
        return answers.get(answer, records.running)()

    async def poll(request: provider.PollRequest) -> provider.TaskState:
        polls = providers.polls[request.job_id]
        return records.done() if polls > 2 else records.running(progress=30 * polls)

    providers.on_start, providers.on_poll = start, poll
    pair = ReplicaPair(store, providers, fallback=_second_route)
    tried: list[JobRecord] = []
    has_idempotency_key: set[str] = set()
    try:
        await pair.serve()
        for step, choice in steps:
            await pair.settle()
            match step:
                case "submit" | "submit with a key":
                    tried.append(records.job(repeatable=repeatable, tenant=f"t{choice}"))
                    if step == "submit with a key":
                        has_idempotency_key.add(tried[-1].id)
                    pair.submit(choice, _copied(tried[-1]), has_idempotency_key=tried[-1].id in has_idempotency_key)
                case "twin" if tried and tried[-1].id in has_idempotency_key:
                    pair.submit(choice, _copied(tried[-1]), has_idempotency_key=True)
                case "cancel" if tried:
                    pair.cancel(choice, tried[-1].id)
                case _:
                    pair.take(step, choice)
        await pair.finish()
        for record in tried:
            _assert_ended_once(pair, record.id)
            for route in ("local", "second"):
                assert by_route[record.id, route] <= (MAX_ATTEMPTS if repeatable and route == "local" else 1)
            if record.id in pair.refused - has_idempotency_key:
                assert not providers.starts[record.id], "a job runs although its caller got an error and has no key"
        pair.assert_nothing_is_held()
    finally:
        await pair.close()


def _copied(record: JobRecord) -> JobRecord:
    copied = records.job()
    copied.CopyFrom(record)
    return copied


def _second_route(task: provider.ImageTask, avoid: Callable[[str], bool], _stored: Collection[str]) -> Route | None:
    """Return the second route, which follows the first one."""
    second = Route("second", Mode.ASYNC, "")
    return second if task.route == "local" and not avoid("second") else None


def _assert_ended_once(pair: ReplicaPair, job_id: str) -> None:
    past = pair.log.records(job_id)
    if not past:
        assert job_id not in pair.accepted, "an accepted job is lost"
        assert not pair.providers.starts[job_id], "a job was started before it was written"
        return
    assert_lawful(pair.log, job_id)
    assert past[-1].ended, "a job is stuck"
    assert not past[-1].record.call_open, "a call is held open"
    assert pair.providers.starts[job_id] <= past[-1].record.attempt


async def test_three_hundred_disconnects_leave_no_unattended_jobs(store: MediaStore) -> None:
    """Callers disconnect at random instants of a submit: each job runs to its end or does not exist."""
    moments = random.Random(9)  # noqa: S311  a test's dice
    pair = ReplicaPair(store, route_limit=2)
    try:
        await pair.serve()
        tried = []
        for _ in range(300):
            tried.append(records.job(tenant=moments.choice("abc")))
            pair.submit(moments.randrange(2), _copied(tried[-1]))
            for _ in range(moments.randrange(12)):
                await asyncio.sleep(0)
                pair.gates.release(moments.randrange(8))
            pair.hang_up(moments.randrange(8))
        await pair.finish()
        for record in tried:
            _assert_ended_once(pair, record.id)
        written = [record for record in tried if pair.log.records(record.id)]
        assert len(written) > 200, "the callers go away too early to prove anything"
        pair.assert_nothing_is_held()
    finally:
        await pair.close()


async def test_slots_of_concurrent_duplicates_are_counted_once(store: MediaStore) -> None:
    """Duplicates with the same id on one replica: the losers don't release the winner's slot."""
    providers = ScriptedProviders()
    release = asyncio.Event()

    async def start(_request: provider.StartRequest) -> provider.TaskState:
        await release.wait()
        return records.done()

    providers.on_start = start
    pair = ReplicaPair(store, providers, route_limit=1)
    pair.gates.open = True
    try:
        pair.start(0)
        await pair.settle()
        job_id = ids.job()
        for _ in range(20):
            pair.submit(0, records.job(job_id=job_id))
        await pair.settle()
        pair.submit(0, records.job())
        await pair.settle()
        assert providers.starts.total() == 1
        release.set()
        await pair.finish()
        assert providers.starts.total() == 2
        assert set(providers.starts.values()) == {1}
    finally:
        await pair.close()


@pytest.mark.parametrize("options", [{}, {"has_idempotency_key": False}, {"has_idempotency_key": True}])
async def test_unacknowledged_write_runs_only_for_a_caller_with_an_idempotency_key(
    store: MediaStore, monkeypatch: pytest.MonkeyPatch, options: dict[str, bool]
) -> None:
    has_idempotency_key = options.get("has_idempotency_key", False)
    monkeypatch.setattr(stream_connection, "PATIENCE_SECONDS", 0.05)
    pair = ReplicaPair(store)
    try:
        await pair.serve()
        pair.gates.open = True
        replica = pair.replicas[0]
        assert replica is not None
        record = records.job()
        record.upload_keys.append(await _input(store))
        pair.gates.held.add("feed")
        pair.gates.losing = 1_000_000  # until `finish`
        with pytest.raises(GatewayError) as caught:
            await replica.execution.submission.submit(_copied(record), **options)
        assert caught.value.reason == ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE
        assert await store.size(record.upload_keys[0]) is not None, "the job may exist and need its inputs"
        await pair.finish()
        last = pair.log.records(record.id)[-1].record
        assert last.state == (states.COMPLETED if has_idempotency_key else states.CANCELLED)
        assert pair.providers.starts[record.id] == has_idempotency_key
        await replica.execution.drain(10)
        pair.assert_nothing_is_held()
        assert await store.size(record.upload_keys[0]) is None
    finally:
        await pair.close()


async def test_inputs_of_a_job_that_is_not_written_are_deleted(
    store: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_connection, "PATIENCE_SECONDS", 0.05)
    pair = ReplicaPair(store)
    try:
        await pair.serve()
        pair.gates.open = True
        pair.log.down = True
        record = records.job()
        record.upload_keys.append(await _input(store))
        replica = pair.replicas[0]
        assert replica is not None
        with pytest.raises(GatewayError):
            await replica.execution.submission.submit(_copied(record))
        await replica.execution.drain(10)
        assert await store.size(record.upload_keys[0]) is None
        assert replica.execution.admission.idle
    finally:
        await pair.close()


@pytest.mark.parametrize(("seconds", "reservations"), [(LEASE_SECONDS / 2, 1), (LEASE_SECONDS / 2 + 1, 2)])
@pytest.mark.parametrize("has_room", [True, False])
async def test_estimate_is_reserved_again_after_a_write_of_half_a_lease(
    store: MediaStore, monkeypatch: pytest.MonkeyPatch, seconds: float, reservations: int, has_room: bool
) -> None:
    """The job of a budget that has no more room by then does not run."""
    now = 0.0
    reserved: list[str] = []

    async def reserve(record: JobRecord) -> None:
        nonlocal now
        now += seconds
        reserved.append(record.id)
        if len(reserved) > 1 and not has_room:
            raise GatewayError(ErrorReason.ERROR_REASON_BUDGET_EXCEEDED, "The budget is used up.")

    pair = ReplicaPair(store)
    try:
        await pair.serve()
        pair.gates.open = True
        replica = pair.replicas[0]
        assert replica is not None
        monkeypatch.setattr(submission, "unix_millis", lambda: round(now * 1000))
        jobs = replica.execution.submission
        monkeypatch.setattr(jobs, "_budgets", SimpleNamespace(reserve=reserve))
        record = records.job()
        runs = has_room or reservations == 1
        with nullcontext() if runs else pytest.raises(GatewayError, match="used up"):
            await jobs.submit(_copied(record))
        await pair.finish()
        assert reserved == [record.id] * reservations
        assert pair.log.records(record.id)[-1].record.state == (states.COMPLETED if runs else states.CANCELLED)
        assert pair.providers.starts[record.id] == runs
        pair.assert_nothing_is_held()
    finally:
        await pair.close()


async def _input(store: MediaStore) -> str:
    async with store.upload(100) as upload:
        await upload.write(b"an input")
        return (await upload.finish()).key
