"""Fallback of a job whose route refuses calls: the job waits for the next route's slots like any other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs import reconciler, states
from imagegateway.platform.clock import unix_millis
from imagegateway.providers.catalog import Mode, Route
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.jobs import records
from tests.jobs.replica import serving
from tests.jobs.scripted_providers import PendingCall, ScriptedProviders
from tests.jobs.server import PATIENCE, settings_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.platform.settings import Settings
    from imagegateway.provider.v1 import provider_service_pb2 as provider

    from tests.jobs.replica import Replica
    from tests.jobs.server import Nats

ROUTES = ("first", "second")
UNAVAILABLE = ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE


def fallback(task: provider.ImageTask, avoid: Callable[[str], bool], _stored: Collection[str]) -> Route | None:
    second = Route("second", Mode.ASYNC, "", concurrency=2)
    return second if task.route == "first" and not avoid("second") else None


class TwoRouteProviders(ScriptedProviders):
    """Providers whose first route refuses all calls. The test answers calls of the second."""

    def __init__(self) -> None:
        super().__init__()
        self.first: list[provider.StartRequest] = []
        self.second: list[provider.StartRequest] = []
        self.calls: list[PendingCall] = []
        self.reason = UNAVAILABLE
        self.on_start = self._begin

    async def _begin(self, request: provider.StartRequest) -> provider.TaskState:
        if request.task.route == "first":
            self.first.append(request)
            return records.refused(self.reason, may_be_billed=False)
        self.second.append(request)
        self.calls.append(PendingCall())
        return await self.calls[-1](request)


@pytest.fixture
def two() -> TwoRouteProviders:
    return TwoRouteProviders()


@pytest.fixture
def limited(nats: Nats) -> Settings:
    """Yield a replica with two slots on each route."""
    limits = {"FIRST_CONCURRENCY": "2", "SECOND_CONCURRENCY": "2"}
    return settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address(), **limits)


@pytest.fixture
async def up(limited: Settings, two: TwoRouteProviders) -> AsyncIterator[Replica]:
    async with serving(limited, two, 0, ROUTES, fallback) as replica:
        yield replica


async def waits_again(replica: Replica, record: JobRecord) -> None:
    entry = await replica.reached(record.id, lambda entry: entry.record.state == states.REROUTED)
    assert entry.record.task.route == "second"


async def begun(two: TwoRouteProviders, count: int) -> None:
    """Wait for this number of calls of the second route."""
    async with asyncio.timeout(PATIENCE):
        while len(two.calls) < count:  # noqa: ASYNC110  no event announces the calls
            await asyncio.sleep(0.01)


async def test_next_route_is_called_at_once_if_it_has_slots(up: Replica, two: TwoRouteProviders) -> None:
    record = records.job(route="first")
    record.task.n = 2
    await up.submit(record)
    await begun(two, 1)
    two.calls[0].answer(records.done())
    ended = (await up.ended(record.id)).record
    assert (ended.state, ended.task.route, ended.attempt, ended.slots) == (states.COMPLETED, "second", 2, 2)
    assert [request.fail_fast for request in (*two.first, *two.second)] == [True, False]
    await up.held_nothing()


async def test_job_waits_for_slots_of_a_full_next_route(up: Replica, two: TwoRouteProviders) -> None:
    there = [records.job(route="second") for _ in range(2)]
    for record in there:
        await up.submit(record)
    turned = [records.job(route="first") for _ in range(4)]
    for record in turned:
        submitted = await up.submit(record)
        await waits_again(up, record)
        assert states.PUBLIC[states.REROUTED] == "running", "for its caller it does not go back"
        assert up.engine.execution.admission.position(submitted.record) is None
    # No job holds a slot of the first route, and no call exceeds the second route's limit.
    assert len(two.first) == 4
    await begun(two, 2)
    assert len(two.second) == 2
    for done in range(6):
        await begun(two, min(done + 2, 6))
        assert len(two.second) <= done + 2
        two.calls[done].answer(records.done())
    for record in (*there, *turned):
        assert (await up.ended(record.id)).record.state == states.COMPLETED
    assert [request.job_id for request in two.second] == [record.id for record in (*there, *turned)]
    assert not any(request.fail_fast for request in two.second)
    await up.held_nothing()


async def test_rerouted_job_survives_a_crash(limited: Settings, up: Replica, two: TwoRouteProviders) -> None:
    there = [records.job(route="second") for _ in range(2)]
    for record in there:
        await up.submit(record)
    turned = records.job(route="first")
    await up.submit(turned)
    await waits_again(up, turned)
    await up.crash()
    heirs = TwoRouteProviders()
    async with serving(limited, heirs, 0, ROUTES, fallback) as heir:
        await begun(heirs, 1)
        heirs.calls[0].answer(records.done())
        assert (await heir.ended(turned.id)).record.state == states.COMPLETED
        assert not heirs.first, "what took nothing is not asked again"
        assert [request.job_id for request in heirs.second] == [turned.id]
        for record in there:  # the crash came while they were called
            ended = (await heir.ended(record.id)).record
            assert ended.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN
        await heir.held_nothing()


async def test_rerouted_job_can_be_cancelled(up: Replica, two: TwoRouteProviders) -> None:
    there = [records.job(route="second") for _ in range(2)]
    for record in there:
        await up.submit(record)
    turned = records.job(route="first")
    await up.submit(turned)
    await waits_again(up, turned)
    await up.engine.execution.cancellation.cancel(await up.reached(turned.id, lambda _entry: True))
    for index in range(2):
        await begun(two, index + 1)
        two.calls[index].answer(records.done())
        await up.ended(there[index].id)
    await up.held_nothing()
    assert len(two.second) == 2


async def test_rerouted_job_fails_at_its_deadline_without_blame_for_its_route(
    up: Replica, two: TwoRouteProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        await up.submit(records.job(route="second"))
    turned = [records.job(route="first", deadline_seconds=600) for _ in range(3)]
    for record in turned:
        await up.submit(record)
        await waits_again(up, record)
    monkeypatch.setattr(reconciler, "unix_millis", lambda: unix_millis() + 601_000)
    await up.engine.execution.reconciler.reconcile()
    for record in turned:
        ended = (await up.ended(record.id)).record
        assert ended.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT
        assert not ended.failed.may_be_billed
    assert not up.engine.breakers.is_open("acme", "local/sketch", "second")


async def test_route_that_asks_for_a_pause_is_avoided(up: Replica, two: TwoRouteProviders) -> None:
    busy = records.refused(ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED, may_be_billed=False)
    busy.failed.retry_after.FromSeconds(30)

    async def start(_request: object) -> provider.TaskState:
        return busy

    two.on_start = start
    record = records.job(route="first")
    await up.submit(record)
    ended = (await up.ended(record.id)).record
    assert ended.task.route == "second"
    assert ended.failed.reason == ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED
    assert all(up.engine.breakers.is_open("acme", "local/sketch", route) for route in ROUTES)
    # Without another route, a start keeps its full timeout.
    seen: list[bool] = []

    async def patient(request: provider.StartRequest) -> provider.TaskState:
        seen.append(request.fail_fast)
        return records.done()

    two.on_start = patient
    record = records.job(route="first")
    await up.submit(record)
    assert (await up.ended(record.id)).record.state == states.COMPLETED
    assert seen == [False]


async def test_callers_own_key_stays_on_its_route(up: Replica, two: TwoRouteProviders) -> None:
    for _ in range(4):
        record = records.job(route="first", key_fingerprint="k")
        record.sealed_credential = up.engine.credentials.seal("the caller's own key")
        await up.submit(record)
        ended = (await up.ended(record.id)).record
        assert ended.failed.reason == UNAVAILABLE
        assert not ended.key_fingerprint, "nothing of the key is left"
    assert not any(request.fail_fast for request in two.first)
    assert not two.second
    assert not up.engine.breakers.is_open("acme", "local/sketch", "first"), "it says nothing of the operator's"


async def test_stored_key_has_its_own_slots_on_each_route_of_a_fallback(up: Replica, two: TwoRouteProviders) -> None:
    for _ in range(2):  # use the operator's slots of the second route
        await up.submit(records.job(route="second"))
    credentials, first, second = up.engine.credentials, "a key of first", "a key of second"
    both = [stored(up, first=first, second=second) for _ in range(3)]
    one = [stored(up, first=first) for _ in range(2)]
    for record in (*both, *one):
        assert record.key_fingerprint == credentials.fingerprint("first", first)
        await up.submit(record)
    # Two jobs get slots of their own key, the third waits for those, the others for the operator's slots.
    for record in (both[2], *one):
        await waits_again(up, record)
    await begun(two, 4)
    assert {request.job_id for request in two.second[2:]} == {record.id for record in both[:2]}
    assert [request.credential for request in two.first] == [first] * 5
    assert [request.credential for request in two.second] == ["", "", second, second]
    live = up.engine.feed.live
    assert {live[record.id].record.key_fingerprint for record in both} == {credentials.fingerprint("second", second)}
    assert {live[record.id].record.key_fingerprint for record in one} == {""}
    two.calls[2].answer(records.done())
    await begun(two, 5)
    assert two.second[4].job_id == both[2].id
    two.calls[0].answer(records.done())
    await begun(two, 6)
    assert (two.second[5].job_id, two.second[5].credential) == (one[0].id, "")
    for index in (1, 3, 4, 5):
        two.calls[index].answer(records.done())
    await begun(two, 7)
    two.calls[6].answer(records.done())
    for record in (*both, *one):
        ended = (await up.ended(record.id)).record
        assert (ended.state, ended.task.route) == (states.COMPLETED, "second")
        assert not ended.key_fingerprint
        assert not ended.sealed_keys
    assert not up.engine.breakers.is_open("acme", "local/sketch", "first"), "they say nothing of the operator's"
    await up.held_nothing()


def stored(up: Replica, **keys: str) -> JobRecord:
    """Submit a job of a tenant with stored keys, as the router does."""
    record = records.job(route="first")
    for route, key in keys.items():
        record.sealed_keys[route] = up.engine.credentials.seal(key)
    record.key_fingerprint = up.engine.credentials.account(record, Route("first", Mode.ASYNC, "", concurrency=2))
    return record


async def test_each_key_waits_for_its_own_slots_only(up: Replica, two: TwoRouteProviders) -> None:
    accounts = ("", "", "", "k", "k", "k", "l")
    jobs = [records.job(route="second", key_fingerprint=account) for account in accounts]
    found = [(await up.submit(record)).record.state for record in jobs]
    free, line = states.SUBMITTING, states.QUEUED
    assert found == [free, free, line, free, free, line, free]
    await begun(two, 5)
    two.calls[2].answer(records.done())
    await begun(two, 6)
    assert two.second[5].job_id == jobs[5].id
    assert up.engine.execution.admission.position(jobs[2]) == 0
