"""Budgets through Envoy on two routers: refusals, headers, concurrent calls, events, killed routers."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from imagegateway.jobs.budgets import account as accounts
from imagegateway.jobs.budgets import ledger
from imagegateway.keys.api_keys import fingerprint
from imagegateway.keys.policy import BudgetPeriod, Quota, key_account, tenant_account
from imagegateway.keys.tenants import TenantStore
from imagegateway.platform import setting_source, settings
from imagegateway.platform.money import usd
from imagegateway.platform.nats import connect
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc

from tests.gateway.jobs import stacks, wire
from tests.gateway.jobs.replicas.conftest import EVENTS, PRICE
from tests.gateway.jobs.stacks import new_caller
from tests.support.stack import eventually

if TYPE_CHECKING:
    from imagegateway.jobs.budgets.account import Account

    from tests.gateway.jobs.calls import Caller
    from tests.gateway.jobs.receiver import Receiver
    from tests.support.stack import Stack

SETTLED_SECONDS: Final = 120.0
"""Longest time until every reservation of a killed router is settled: its lease, and a sweep."""


def _caller(stack: Stack, dollars: str, period: BudgetPeriod = BudgetPeriod.MONTH) -> tuple[Caller, str]:
    """Return a caller with a budget, and its tenant."""
    tenant = f"tenant-{uuid.uuid4().hex[:12]}"
    quota = Quota(budget=Decimal(dollars), budget_period=period)
    return new_caller(stack, tenant, quota=quota), tenant


async def _set_budget(stack: Stack, tenant: str, dollars: str) -> None:
    def change(policy: Any) -> Any:
        return type(policy)(tenant, quota=Quota(budget=Decimal(dollars)))

    client = await connect(_settings(stack), "test")
    try:
        await (await TenantStore.open(client, 1)).update(tenant, change)
    finally:
        await client.close()


async def _account(stack: Stack, name: str) -> Account:
    """Return an account as NATS has it."""
    client = await connect(_settings(stack), "test")
    try:
        entry = await (await client.jetstream().key_value(ledger.BUCKET)).get(name)
        return accounts.decode(entry.value or b"")
    finally:
        await client.close()


def _settings(stack: Stack) -> settings.Settings:
    values = {f"{setting_source.PREFIX}{name.upper()}": value for name, value in stack.values.items()}
    return settings.load(setting_source.Source(values))


def _is_in_force(caller: Caller) -> bool:
    """Return whether both routers refuse ten images, which no tenant's budget of these tests leaves."""
    plans = [caller.generate({"prefer": "dry-run", "x-request-id": uuid.uuid4().hex}, n=10) for _ in range(6)]
    return all(plan.status == 402 for plan in plans)


def test_budget_is_shown_and_refuses_the_next_call(pair: Stack) -> None:
    caller, _ = _caller(pair, "0.07")
    for left in ("0.04", "0.01"):
        answer = caller.generate()
        assert (answer.status, answer.headers["x-budget-remaining"], answer.headers["x-cost"]) == (200, left, PRICE)
    refused = caller.generate()
    assert refused.status == 402
    assert refused.headers["x-budget-remaining"] == "0.01"
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "budget_exceeded")
    assert "of 0.07, 0.06 are spent this month" in error["message"]
    assert len(caller.jobs()) == 2, "nothing is kept of a refused call"


def test_grpc_names_the_budget_that_refuses(pair: Stack) -> None:
    caller, _ = _caller(pair, "0.01", BudgetPeriod.DAY)
    with grpc.insecure_channel(pair.address) as channel, pytest.raises(grpc.RpcError) as caught:
        pb_grpc.ImageServiceStub(channel).Generate(wire.small(), metadata=wire.metadata(caller), timeout=wire.SECONDS)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(error.trailing_metadata())["x-budget-remaining"] == "0.01"
    assert "spent today" in error.details()


def test_waiting_job_holds_its_estimate_until_its_cancel(pair: Stack) -> None:
    caller, _ = _caller(pair, "0.05")
    accepted = caller.generate({"prefer": "respond-async"}, provider_options={"delay": 60})
    assert (accepted.status, accepted.headers["x-budget-remaining"]) == (202, "0.02")
    assert caller.generate().status == 402
    job = caller.cancel(accepted.json()["id"])
    assert job["status"] == "cancelled"
    eventually(lambda: caller.generate().status == 200, 10, "the estimate is released")


def test_concurrent_calls_on_both_routers_do_not_overspend(pair: Stack) -> None:
    caller, tenant = _caller(pair, "100")
    asyncio.run(_set_budget(pair, tenant, "0.29"))
    eventually(lambda: _is_in_force(caller), 10, "the tenant's budget is in force")
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: caller.generate().status, range(30)))
    assert sorted(set(answers)) == [200, 402]
    spent = sum(usd(str(job["cost"]["amount"])) for job in caller.jobs())
    assert spent == usd("0.27")

    def settled() -> bool:
        account = asyncio.run(_account(pair, tenant_account(tenant)))
        return not account.reservations and account.spent == spent

    eventually(settled, 10, "the ledger equals the jobs")


def test_thresholds_reach_the_operators_webhook(pair: Stack, receiver: Receiver) -> None:
    caller, tenant = _caller(pair, "0.06")
    assert caller.generate().status == 200
    assert caller.generate().status == 200

    def found() -> list[int]:
        events = [delivery.event for delivery in receiver.on(EVENTS)]
        return sorted(event["data"]["threshold"] for event in events if event["data"]["tenant"] == tenant)

    eventually(lambda: len(found()) == 3, 20, "three events")
    assert found() == [50, 80, 100]


def test_killed_routers_leave_the_ledger_equal_to_the_jobs(pair: Stack) -> None:
    caller, _ = _caller(pair, "90")
    submitted = [caller.submit(delay=0.1 * number) for number in range(20)]
    for name in ("router-0", "router-1"):
        stacks.wait_back(pair, name, stacks.kill(pair, name))
    for job_id in submitted:
        caller.end(job_id, 120)
    cost = sum(usd(str(job.get("cost", {}).get("amount", 0))) for job in caller.jobs())
    assert cost > 0

    def settled() -> bool:
        account = asyncio.run(_account(pair, key_account(fingerprint(caller.key)[:12])))
        return not account.reservations and account.spent == cost

    eventually(settled, SETTLED_SECONDS, "the ledger equals the jobs")
