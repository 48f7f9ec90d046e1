"""Budgets over a real NATS server: reservations of two replicas, settlement by records, periods, the sweep."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import pytest
from imagegateway.jobs import polling, states, submission
from imagegateway.jobs.budgets import sweep as sweeps
from imagegateway.jobs.budgets.budget import Budget
from imagegateway.jobs.budgets.ledger import BudgetPolicy
from imagegateway.jobs.budgets.settlement import BudgetSettlement
from imagegateway.keys.policy import NO_LIMITS, BudgetPeriod, Quota
from imagegateway.platform.errors import GatewayError, code_of
from imagegateway.platform.money import NANO, to_cost

from tests.jobs import records
from tests.jobs.replica import serving
from tests.jobs.scripted_providers import PendingCall, ScriptedProviders
from tests.jobs.server import PATIENCE, settings_for, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.stream import Entry
    from imagegateway.platform.settings import Settings
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.v1.job_pb2 import Cost

    from tests.jobs.replica import Replica
    from tests.jobs.server import Nats

CENT: Final = NANO // 100
_KEYS: dict[str, Quota] = {}
_TENANTS: dict[str, Quota] = {}
POLICY: Final = BudgetPolicy(
    key_quota=lambda key: _KEYS.get(key, NO_LIMITS), tenant_quota=lambda tenant: _TENANTS.get(tenant, NO_LIMITS)
)


@pytest.fixture(autouse=True)
def _no_budgets() -> None:
    _KEYS.clear()
    _TENANTS.clear()


@pytest.fixture
def settings(nats: Nats) -> Settings:
    return settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address())


@pytest.fixture
async def replica(settings: Settings, providers: ScriptedProviders) -> AsyncIterator[Replica]:
    async with serving(settings, providers, price=_two_cents, budget_policy=POLICY) as up:
        yield up


def _two_cents(_task: provider.ImageTask, _done: provider.Done) -> Cost:
    return to_cost(2 * CENT, estimated=True)


def _job(key_id: str = "k", *, estimate: int | None = 3 * CENT, deadline_seconds: float = 3600) -> JobRecord:
    record = records.job(deadline_seconds=deadline_seconds)
    record.key_id = key_id
    if estimate is not None:
        record.estimate.CopyFrom(to_cost(estimate, estimated=True))
    return record


def _budget(dollars: str, period: BudgetPeriod = BudgetPeriod.TOTAL) -> Quota:
    return Quota(budget=Decimal(dollars), budget_period=period)


async def _refusal(replica: Replica, record: JobRecord) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await replica.submit(record)
    return caught.value


async def _settled(replica: Replica, record: JobRecord, left: int) -> None:
    """Wait until the budget of a job leaves an amount, and nothing is reserved for the job."""
    await until(lambda: not list(replica.engine.budgets.accounts_holding(record)))
    assert replica.engine.budgets.left(record) == left


async def _spent_reaches(replica: Replica, amount: int, key_id: str = "k") -> None:
    """Wait until a key has spent an amount. An empty `key_id`: the tenant."""
    budget = Budget(tenant="acme", key_id=key_id, limit=0, period=BudgetPeriod.TOTAL)
    async with asyncio.timeout(PATIENCE):
        while await replica.engine.budgets.spent(budget) != amount:  # noqa: ASYNC110  another process's state
            await asyncio.sleep(0.02)


async def test_cost_replaces_the_reservation_at_the_end(replica: Replica, providers: ScriptedProviders) -> None:
    _KEYS["k"] = _budget("0.10")
    _TENANTS["acme"] = _budget("0.08")
    providers.on_start = call = PendingCall()
    submitted = await replica.submit(_job())
    assert replica.engine.budgets.left(submitted.record) == 5 * CENT, "the smaller budget counts"
    call.answer(records.done())
    ended = await replica.ended(submitted.record.id)
    assert replica.engine.budgets.left(ended.record) == 6 * CENT, "known before the settlement is written"
    await _settled(replica, ended.record, 6 * CENT)
    await _spent_reaches(replica, 2 * CENT)


async def test_call_over_the_budget_is_refused_before_dispatch(
    replica: Replica, providers: ScriptedProviders
) -> None:
    _KEYS["k"] = _budget("0.05", BudgetPeriod.MONTH)
    providers.on_start = call = PendingCall()
    first = await replica.submit(_job())
    error = await _refusal(replica, refused := _job())
    assert (error.meaning.http, error.code) == (402, "budget_exceeded")
    assert "API key k" in error.message
    assert "of 0.05, 0 are spent this month and 0.03 reserved" in error.message
    assert "whole again at 20" in error.message
    assert dict(error.details) | {"renews_at": ""} == {
        "scope": "key",
        "id": "k",
        "budget": "0.05",
        "spent": "0",
        "reserved": "0.03",
        "estimate": "0.03",
        "renews_at": "",
    }
    assert await replica.stream.last(refused.id) is None
    assert providers.starts.total() == 1
    call.answer(records.done())
    await replica.ended(first.record.id)
    await _settled(replica, first.record, 3 * CENT)
    assert (await replica.submit(_job())).record.id


async def test_tenants_budget_holds_for_all_its_keys_and_leaves_nothing_reserved(replica: Replica) -> None:
    _KEYS["k1"] = _KEYS["k2"] = _budget("1")
    _TENANTS["acme"] = _budget("0.05")
    first = await replica.submit(_job("k1"))
    await replica.ended(first.record.id)
    await _settled(replica, first.record, 3 * CENT)
    await replica.ended((await replica.submit(second := _job("k2"))).record.id)
    await _settled(replica, second, 1 * CENT)
    error = await _refusal(replica, third := _job("k1"))
    assert "tenant 'acme'" in error.message
    _TENANTS.clear()
    assert replica.engine.budgets.left(third) == 98 * CENT, "the key's reservation is given back"


@pytest.mark.parametrize("reason", ["unknown", "allowed", "free"])
async def test_budget_needs_a_price(settings: Settings, providers: ScriptedProviders, reason: str) -> None:
    policy = BudgetPolicy(POLICY.key_quota, POLICY.tenant_quota, allow_unpriced=reason == "allowed")
    _KEYS["k"] = _budget("0")
    async with serving(settings, providers, price=_two_cents, budget_policy=policy) as replica:
        if reason == "unknown":
            error = await _refusal(replica, _job(estimate=None))
            assert (error.meaning.http, error.code, error.param) == (402, "price_unknown", "model")
            assert "local/sketch has no known price" in error.message
            await replica.submit(_job("other", estimate=None))
        else:
            record = _job(estimate=None if reason == "allowed" else 0)
            await replica.ended((await replica.submit(record)).record.id)
            await _settled(replica, record, -2 * CENT)


async def test_job_that_is_not_written_reserves_nothing(replica: Replica) -> None:
    _KEYS["k"] = _budget("0.05")
    too_large = _job()
    too_large.task.prompt = "x" * 9_000_000
    assert (await _refusal(replica, too_large)).code == "request_too_large"
    assert replica.engine.budgets.left(too_large) in {None, 5 * CENT}
    await replica.submit(_job())


async def test_concurrent_calls_on_two_replicas_do_not_overspend(
    settings: Settings, providers: ScriptedProviders
) -> None:
    _KEYS["k"] = _budget("0.30")
    _TENANTS["acme"] = _budget("0.30")
    providers.on_start = hold = PendingCall()
    async with (
        serving(settings, providers, 0, price=_two_cents, budget_policy=POLICY) as first,
        serving(settings, providers, 1, price=_two_cents, budget_policy=POLICY) as second,
    ):
        jobs = [_job() for _ in range(40)]
        results = await asyncio.gather(
            *((first, second)[number % 2].submit(job) for number, job in enumerate(jobs)), return_exceptions=True
        )
        taken = [result for result in results if not isinstance(result, BaseException)]
        assert len(taken) == 10
        assert {result.code for result in results if isinstance(result, GatewayError)} == {"budget_exceeded"}
        hold.answer(records.done())
        for entry in taken:
            await first.ended(entry.record.id)
        await _spent_reaches(first, 20 * CENT)
        await _spent_reaches(second, 20 * CENT)
        await _spent_reaches(first, 20 * CENT, key_id="")  # the last settlement may be the other replica's
        assert first.engine.budgets.left(taken[0].record) == 10 * CENT


@pytest.mark.parametrize("has_room", [True, False])
async def test_job_whose_write_took_too_long_reserves_again_before_it_starts(
    replica: Replica, providers: ScriptedProviders, monkeypatch: pytest.MonkeyPatch, *, has_room: bool
) -> None:
    monkeypatch.setattr(submission, "LEASE_SECONDS", -1)
    _KEYS["k"] = _budget("0.06" if has_room else "0.05")
    budgets, create = replica.engine.budgets, replica.stream.create

    async def slow(record: JobRecord) -> Entry:
        await budgets.release(record)  # as a sweep does that takes this replica for dead
        other = _job()
        other.submission = "another"
        await budgets.reserve(other)
        return await create(record)

    monkeypatch.setattr(type(replica.stream), "create", lambda _stream, record: slow(record))
    record = _job()
    if has_room:
        await replica.ended((await replica.submit(record)).record.id)
        await _settled(replica, record, 1 * CENT)
    else:
        assert (await _refusal(replica, record)).code == "budget_exceeded"
        await replica.held_nothing()
        last = await replica.stream.last(record.id)
        assert last is not None
        assert (last.record.state, last.record.call_open) == (states.CANCELLED, False)
        assert not providers.starts[record.id]


# ---- how calls end


@pytest.mark.parametrize(("stops", "cost"), [(True, 0), (False, 3 * CENT)])
async def test_cancelled_task_costs_its_estimate_unless_the_provider_confirms_the_stop(
    replica: Replica, providers: ScriptedProviders, monkeypatch: pytest.MonkeyPatch, *, stops: bool, cost: int
) -> None:
    monkeypatch.setattr(polling, "RETRY_SECONDS", 0.02)
    _KEYS["k"] = _budget("0.10")
    providers.stops = stops

    async def running(_request: object) -> provider.TaskState:
        return records.running(after=0.02)

    providers.on_start = providers.on_poll = running
    submitted = await replica.submit(_job(deadline_seconds=2.0))
    entry = await replica.reached(submitted.record.id, lambda entry: entry.record.state == states.RUNNING)
    await replica.engine.execution.cancellation.cancel(entry)
    await replica.held_nothing()
    last = await replica.stream.last(submitted.record.id)
    assert last is not None
    assert round(last.record.cost.amount * NANO) == cost
    assert last.record.cost.estimated is bool(cost)
    await _settled(replica, last.record, 10 * CENT - cost)


async def test_cancelled_task_that_completes_costs_its_price(replica: Replica, providers: ScriptedProviders) -> None:
    _KEYS["k"] = _budget("0.10")
    providers.stops = False
    providers.on_start = call = PendingCall()
    submitted = await replica.submit(_job())
    await call.begun.wait()
    cancelled = await replica.engine.execution.cancellation.cancel(submitted)
    assert replica.engine.budgets.left(cancelled.record) == 7 * CENT, "reserved while the call is open"
    call.answer(records.done())
    await replica.held_nothing()
    await _settled(replica, cancelled.record, 8 * CENT)


async def test_call_that_the_gateway_lost_costs_a_cancelled_job_its_estimate(
    replica: Replica, providers: ScriptedProviders
) -> None:
    _KEYS["k"] = _budget("0.10")
    providers.stops = False
    providers.on_start = call = PendingCall()
    submitted = await replica.submit(_job())
    await call.begun.wait()
    await replica.engine.execution.cancellation.cancel(submitted)
    await providers.restart()
    await replica.held_nothing()
    await _settled(replica, submitted.record, 7 * CENT)


async def test_cancelled_queued_job_costs_nothing(nats: Nats, providers: ScriptedProviders) -> None:
    _KEYS["k"] = _budget("0.10")
    one = settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address(), LOCAL_CONCURRENCY="1")
    providers.on_start = call = PendingCall()
    async with serving(one, providers, price=_two_cents, budget_policy=POLICY) as replica:
        await replica.submit(_job())
        queued = await replica.submit(_job())
        assert queued.record.state == states.QUEUED
        cancelled = await replica.engine.execution.cancellation.cancel(queued)
        await _settled(replica, cancelled.record, 7 * CENT)
        call.answer(records.done())


async def test_failed_job_costs_nothing(replica: Replica, providers: ScriptedProviders) -> None:
    _KEYS["k"] = _budget("0.10")

    async def fail(_request: object) -> provider.TaskState:
        return records.refused(may_be_billed=True)

    providers.on_start = fail
    ended = await replica.ended((await replica.submit(_job())).record.id)
    assert ended.record.state == states.FAILED
    await _settled(replica, ended.record, 10 * CENT)


@pytest.mark.parametrize(("stops", "cost"), [(True, 0), (False, 3 * CENT)])
async def test_task_given_up_at_its_deadline_costs_its_estimate_unless_stopped(
    replica: Replica, providers: ScriptedProviders, *, stops: bool, cost: int
) -> None:
    _KEYS["k"] = _budget("0.10")
    providers.stops = stops

    async def running(_request: object) -> provider.TaskState:
        return records.running(after=0.02)

    providers.on_start = providers.on_poll = running
    ended = await replica.ended((await replica.submit(_job(deadline_seconds=2.0))).record.id)
    assert (ended.record.state, code_of(ended.record.failed.reason)) == (states.FAILED, "provider_timeout")
    assert round(ended.record.cost.amount * NANO) == cost
    await _settled(replica, ended.record, 10 * CENT - cost)


# ---- periods and history


async def test_budget_set_later_counts_what_was_spent_and_what_runs(
    replica: Replica, providers: ScriptedProviders
) -> None:
    await replica.ended((await replica.submit(_job())).record.id)
    providers.on_start = call = PendingCall()
    running = await replica.submit(_job())
    _KEYS["k"] = _budget("0.08", BudgetPeriod.DAY)
    submitted = await replica.submit(_job())
    assert replica.engine.budgets.left(submitted.record) == 0, "0.02 spent, 0.03 for each of both running jobs"
    call.answer(records.done())
    await replica.ended(running.record.id)
    await replica.ended(submitted.record.id)
    await _settled(replica, running.record, 2 * CENT)


async def test_changed_period_counts_each_job_once(replica: Replica, providers: ScriptedProviders) -> None:
    _KEYS["k"] = _budget("1", BudgetPeriod.MONTH)
    await replica.ended((await replica.submit(_job())).record.id)
    providers.on_start = call = PendingCall()
    running = await replica.submit(_job())
    _KEYS["k"] = _budget("1", BudgetPeriod.DAY)
    submitted = await replica.submit(_job())
    assert replica.engine.budgets.left(submitted.record) == 92 * CENT
    call.answer(records.done())
    await replica.ended(running.record.id)
    await replica.ended(submitted.record.id)
    await _settled(replica, running.record, 94 * CENT)


# ---- the sweep


async def test_crash_between_end_and_settlement_is_settled_by_another_replica(
    settings: Settings, providers: ScriptedProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "_SETTLING_MILLIS", 0)
    _KEYS["k"] = _budget("0.10")
    async with serving(settings, providers, 1, price=_two_cents, budget_policy=POLICY) as second:
        with monkeypatch.context() as patch:
            patch.setattr(BudgetSettlement, "on_change", lambda _self, _entry: None)
            async with serving(settings, providers, 0, price=_two_cents, budget_policy=POLICY) as first:
                await first.ended((await first.submit(_job())).record.id)
        await second.engine.feed.catch_up()
        await _spent_reaches(second, 0)
        await second.engine.budget_sweep.sweep()
        await _spent_reaches(second, 2 * CENT)
        await second.engine.budget_sweep.sweep()
        await _spent_reaches(second, 2 * CENT)


async def test_crash_between_reservation_and_write_is_released_once_the_replica_is_gone(
    settings: Settings, providers: ScriptedProviders
) -> None:
    _KEYS["k"] = _budget("0.10")
    async with (
        serving(settings, providers, 0, price=_two_cents, budget_policy=POLICY) as first,
        serving(settings, providers, 1, price=_two_cents, budget_policy=POLICY) as second,
    ):
        record = _job()
        record.owner, record.submission = first.engine.membership.owner, "0123456789abcdef"
        await first.engine.budgets.reserve(record)
        await second.engine.budget_sweep.sweep()
        await second.engine.budgets.reserve(other := _job())
        assert second.engine.budgets.left(other) == 4 * CENT, "the first replica may still write its job"
        await second.engine.budgets.release(other)
        await first.engine.budget_sweep.sweep()
        await second.engine.budgets.reserve(other)
        assert second.engine.budgets.left(other) == 7 * CENT, "the first replica knows that it will not"
