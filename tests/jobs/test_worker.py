"""Worker of one replica: the job's states for each provider response."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import nats.errors
import pytest
from imagegateway.jobs import circuit_breaker, polling, states, stream_connection
from imagegateway.jobs.stream_errors import StaleError
from imagegateway.platform.errors import GatewayError, code_of
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.jobs import records
from tests.jobs.scripted_providers import PendingCall, ScriptedProviders
from tests.jobs.server import PATIENCE, until

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from tests.jobs.replica import Replica
    from tests.jobs.server import Nats


# ---- provider responses


async def test_inline_result_completes_the_job(replica: Replica, providers: ScriptedProviders) -> None:
    async with replica.store.upload(100) as upload:
        await upload.write(b"an input")
        stored = await upload.finish()
    record = records.job()
    record.upload_keys.append(stored.key)
    record.sealed_credential = replica.engine.credentials.seal("the caller's own key")
    submitted = await replica.submit(record)
    assert submitted.record.state == states.SUBMITTING
    ended = (await replica.ended(record.id)).record
    assert ended.state == states.COMPLETED
    assert len(ended.done.artifacts) == 1
    assert ended.created_at <= ended.started_at <= ended.completed_at
    assert (ended.attempt, ended.sealed_credential, providers.starts[record.id]) == (1, b"", 1)
    assert ended.HasField("cost")
    await replica.held_nothing()
    # Its inputs are deleted.
    async with asyncio.timeout(PATIENCE):
        while await replica.store.size(stored.key) is not None:  # noqa: ASYNC110  no event announces the deletion
            await asyncio.sleep(0.01)


async def test_stored_key_serves_its_route_to_the_end_and_is_erased(
    replica: Replica, providers: ScriptedProviders
) -> None:
    given: list[str] = []

    async def start(request: provider.StartRequest) -> provider.TaskState:
        given.append(request.credential)
        return records.running()

    async def poll(request: provider.PollRequest) -> provider.TaskState:
        given.append(request.credential)
        return records.done() if len(given) == 3 else records.running(progress=50)

    providers.on_start, providers.on_poll = start, poll
    record = records.job()
    for route, key in (("local", "the key of local"), ("elsewhere", "the key of elsewhere")):
        record.sealed_keys[route] = replica.engine.credentials.seal(key)
    await replica.submit(record)
    ended = (await replica.ended(record.id)).record
    assert given == ["the key of local"] * 3
    assert not ended.sealed_keys


@pytest.mark.parametrize("sealed", ["", "header", "stored", "of another route"])
async def test_refused_key_is_named_and_only_the_operators_counts(
    replica: Replica, providers: ScriptedProviders, sealed: str
) -> None:
    async def start(_request: object) -> provider.TaskState:
        return records.refused(ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS, may_be_billed=False)

    providers.on_start = start
    for _ in range(circuit_breaker.FAILURE_THRESHOLD):
        record = records.job()
        key = replica.engine.credentials.seal("a key")
        if sealed == "header":
            record.sealed_credential = key
        elif sealed:
            record.sealed_keys["local" if sealed == "stored" else "elsewhere"] = key
        await replica.submit(record)
        failed = (await replica.ended(record.id)).record.failed
    expected = {
        "header": ("The provider refused the caller's own key (X-BYOK-local).", "X-BYOK-local"),
        "stored": (
            "The provider refused the tenant's stored key: replace it with PUT /v1/provider-keys/local.",
            "",
        ),
    }
    assert (failed.message, failed.param) == expected.get(sealed, ("The provider failed.", ""))
    assert replica.engine.breakers.is_open("acme", "local/sketch", "local") is (sealed not in expected)


@pytest.mark.parametrize(
    ("says", "reason", "accepted"),
    [
        (records.refused(), "provider_error", True),
        (
            records.refused(ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED, may_be_billed=False),
            "provider_rate_limited",
            False,
        ),
        (provider.TaskState(done=provider.Done()), "provider_bad_response", True),
        (provider.TaskState(), "provider_bad_response", True),
        (GatewayError(ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE, "Away."), "provider_unavailable", False),
        (GatewayError(ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN, "?"), "provider_outcome_unknown", True),
        (ZeroDivisionError(), "internal", True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_failure_ends_the_job_with_its_reason(
    replica: Replica,
    providers: ScriptedProviders,
    says: provider.TaskState | Exception,
    reason: str,
    accepted: bool,
) -> None:
    async def start(_request: object) -> provider.TaskState:
        if isinstance(says, Exception):
            raise says
        return says

    providers.on_start = start
    record = records.job()
    await replica.submit(record)
    ended = (await replica.ended(record.id)).record
    assert ended.state == states.FAILED
    assert (code_of(ended.failed.reason), ended.failed.may_be_billed) == (reason, accepted)
    assert "ZeroDivision" not in ended.failed.message
    assert providers.starts[record.id] == 1
    assert not providers.cancels
    await replica.held_nothing()


async def test_running_task_is_polled_to_its_end(
    replica: Replica, providers: ScriptedProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "RETRY_SECONDS", 0.0)
    answers = iter(
        [
            records.running(progress=10),
            None,  # the provider server is unreachable
            records.running(progress=10),  # no change: no write
            records.running(progress=60, partial_images=1),
            records.running("task-2", progress=90, partial_images=2),
            records.done(),
        ]
    )
    refs: list[str] = []
    go = asyncio.Semaphore(0)

    async def start(_request: object) -> provider.TaskState:
        await go.acquire()
        return records.running()

    async def poll(request: provider.PollRequest) -> provider.TaskState | None:
        await go.acquire()
        refs.append(request.task_ref)
        return next(answers)

    providers.on_start, providers.on_poll = start, poll
    record = records.job()
    submitted = await replica.submit(record)
    changes = replica.engine.feed.changes(record.id, None)
    seen = [await anext(changes)]
    go.release()
    for polls in (1, 3, 1, 1):
        seen.append(await anext(changes))
        for _ in range(polls):
            go.release()
    seen += [change async for change in changes]
    assert seen[0] == submitted
    expected = [
        (item.record.state, item.record.progress if item.record.HasField("progress") else None, item.record.task_ref)
        for item in seen
        if item
    ]
    assert expected == [
        (states.SUBMITTING, None, ""),
        (states.RUNNING, None, "task-1"),
        (states.RUNNING, 10, "task-1"),
        (states.RUNNING, 60, "task-1"),
        (states.RUNNING, 90, "task-2"),
        (states.COMPLETED, 90, "task-2"),
    ]
    assert refs == ["task-1"] * 5 + ["task-2"]
    assert [len(item.record.partial_images) for item in seen if item] == [0, 0, 0, 1, 2, 0]
    assert (providers.starts[record.id], providers.polls[record.id]) == (1, 6)
    await replica.held_nothing()


async def test_task_that_fails_later_fails_the_job(replica: Replica, providers: ScriptedProviders) -> None:
    async def start(_request: object) -> provider.TaskState:
        return records.running()

    async def poll(_request: object) -> provider.TaskState:
        raise GatewayError(ErrorReason.ERROR_REASON_MODERATION_BLOCKED, "No.", param="prompt")

    providers.on_start, providers.on_poll = start, poll
    record = records.job(repeatable=True)
    record.estimate.amount = 0.5
    await replica.submit(record)
    ended = (await replica.ended(record.id)).record
    assert (ended.state, code_of(ended.failed.reason), ended.failed.param) == (
        states.FAILED,
        "moderation_blocked",
        "prompt",
    )
    assert not ended.HasField("cost"), "the provider's word is that the task failed"
    await replica.held_nothing()


# ---- queue


async def test_jobs_are_queued_and_alternate_between_tenants(replica: Replica, providers: ScriptedProviders) -> None:
    calls = [PendingCall() for _ in range(4)]
    waiting = iter(calls)

    async def start(request: provider.StartRequest) -> provider.TaskState:
        return await next(waiting)(request)

    providers.on_start = start
    jobs = [records.job(tenant=tenant) for tenant in ("a", "a", "a", "b")]
    for record in jobs:
        await replica.submit(record)
    assert [replica.engine.execution.admission.position(record) for record in jobs] == [None, 0, 2, 1]
    refused = records.job(tenant="a")
    with pytest.raises(GatewayError) as caught:
        await replica.submit(refused)
    assert caught.value.reason == ErrorReason.ERROR_REASON_OVERLOADED
    assert "2 of your jobs" in caught.value.message
    assert caught.value.retry_after
    assert await replica.stream.last(refused.id) is None
    order = []
    for index, call in enumerate(calls):
        await asyncio.wait_for(call.begun.wait(), PATIENCE)
        assert providers.starts.total() == index + 1
        [busy] = [
            entry.record.id for entry in replica.engine.feed.live.values() if entry.record.state != states.QUEUED
        ]
        order.append(busy)
        call.answer(records.done())
        await replica.ended(busy)
    assert order == [jobs[0].id, jobs[1].id, jobs[3].id, jobs[2].id]
    await replica.held_nothing()


async def test_too_large_record_is_not_written(replica: Replica) -> None:
    record = records.job()
    record.task.prompt = "x" * (1 << 20)
    with pytest.raises(GatewayError) as caught:
        await replica.submit(record)
    assert caught.value.reason == ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE
    assert await replica.stream.last(record.id) is None
    await replica.held_nothing()


async def test_fifty_concurrent_duplicates_start_once(replica: Replica, providers: ScriptedProviders) -> None:
    call = PendingCall()
    providers.on_start = call
    first = records.job()
    results = await asyncio.gather(
        *(replica.submit(records.job(job_id=first.id)) for _ in range(50)), return_exceptions=True
    )
    assert sum(isinstance(result, StaleError) for result in results) == 49
    # The losers released no slot: the next job waits.
    second = await replica.submit(records.job())
    assert second.record.state == states.QUEUED
    call.answer(records.done())
    await replica.ended(first.id)
    await replica.ended(second.record.id)
    assert (providers.starts[first.id], providers.starts.total()) == (1, 2)
    await replica.held_nothing()


# ---- NATS


async def test_result_survives_an_outage_of_nats(
    nats: Nats, replica: Replica, providers: ScriptedProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_connection, "IDLE_SECONDS", 0.3)
    call = PendingCall()
    providers.on_start = call
    submitted = await replica.submit(records.job())
    await call.begun.wait()
    nats.kill()
    await until(lambda: not replica.stream.connected)
    refused = records.job()
    with monkeypatch.context() as patch:
        patch.setattr(stream_connection, "PATIENCE_SECONDS", 0.5)
        with pytest.raises(GatewayError) as caught:
            await replica.submit(refused)
    assert caught.value.reason == ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE
    call.answer(records.done())
    nats.start()
    ended = await replica.ended(submitted.record.id)
    assert ended.record.state == states.COMPLETED
    assert providers.starts[submitted.record.id] == 1
    # The replica continues without a restart.
    providers.on_start = ScriptedProviders().on_start
    after = await replica.submit(records.job())
    assert (await replica.ended(after.record.id)).record.state == states.COMPLETED
    assert await replica.stream.last(refused.id) is None
    await replica.held_nothing()


async def test_unacknowledged_write_that_the_feed_brings_counts(
    replica: Replica, providers: ScriptedProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = replica.client.request

    async def lost(subject: str, payload: bytes, **options: Any) -> Msg:
        await request(subject, payload, **options)
        await replica.engine.feed.wait_for(1)
        raise nats.errors.TimeoutError

    record = records.job()
    with monkeypatch.context() as patch:
        patch.setattr(replica.client, "request", lost)
        patch.setattr(stream_connection, "PATIENCE_SECONDS", 0.5)
        submitted = await replica.submit(record)
    assert submitted.record.state == states.SUBMITTING
    assert (await replica.ended(record.id)).record.state == states.COMPLETED
    assert providers.starts[record.id] == 1
    await replica.held_nothing()


async def test_draining_waits_for_calls_and_starts_nothing(replica: Replica, providers: ScriptedProviders) -> None:
    call = PendingCall()
    providers.on_start = call
    first = await replica.submit(records.job())
    second = await replica.submit(records.job())
    await call.begun.wait()
    draining = asyncio.create_task(replica.engine.drain(PATIENCE))
    await asyncio.sleep(0)
    assert not draining.done()
    call.answer(records.done())
    await draining
    ended = await replica.stream.last(first.record.id)
    assert ended is not None
    assert ended.record.state == states.COMPLETED
    assert await replica.stream.last(second.record.id) == second
    assert providers.starts.total() == 1
    # Calls that don't end in time keep their state.
    await replica.engine.drain(0)


async def test_accepted_call_closes_the_routes_circuit_breaker(
    replica: Replica, providers: ScriptedProviders
) -> None:
    async def start(_request: provider.StartRequest) -> provider.TaskState:
        return records.running(after=3600)

    providers.on_start = start
    breakers, route = replica.engine.breakers, ("local/sketch", "local")
    away = provider.Failed(reason=ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE)
    for _ in range(circuit_breaker.FAILURE_THRESHOLD):
        breakers.record_failure("acme", *route, away)
    assert breakers.is_open("acme", *route)
    record = records.job()
    await replica.submit(record)
    await replica.reached(record.id, lambda entry: entry.record.state == states.RUNNING)
    assert not breakers.is_open("acme", *route)
