"""Budget events: one for each threshold, signed, repeated until delivered, also after a crash."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.jobs import operator_events
from imagegateway.jobs.budgets.ledger import BudgetPolicy
from imagegateway.keys.policy import NO_LIMITS, BudgetPeriod, Quota
from imagegateway.platform.money import NANO, to_cost
from standardwebhooks import Webhook

from tests.jobs import records
from tests.jobs.receiver import Receiver
from tests.jobs.replica import serving
from tests.jobs.server import settings_for, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.platform.settings import Settings
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.v1.job_pb2 import Cost

    from tests.jobs.replica import Replica
    from tests.jobs.scripted_providers import ScriptedProviders
    from tests.jobs.server import Nats

QUOTA = Quota(budget=Decimal("0.10"), budget_period=BudgetPeriod.TOTAL)
POLICY = BudgetPolicy(
    key_quota=lambda key: QUOTA if key == "k" else NO_LIMITS,
    tenant_quota=lambda _tenant: Quota(budget=Decimal(1), budget_period=BudgetPeriod.TOTAL),
)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as up:
        yield up


@pytest.fixture
def settings(nats: Nats, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(operator_events, "ATTEMPT_SECONDS", 0.5)
    monkeypatch.setattr(operator_events, "POLL_SECONDS", 0.05)
    return settings_for(
        nats.settings.data_dir,
        NATS_URL=nats.settings.nats_address(),
        EVENTS_WEBHOOK=receiver.url,
        WEBHOOK_PAUSES="0.1,0.1",
    )


def _five_cents(_task: provider.ImageTask, _done: provider.Done) -> Cost:
    return to_cost(NANO // 20, estimated=True)


async def _spend(replica: Replica) -> None:
    record = records.job()
    record.key_id = "k"
    record.estimate.CopyFrom(to_cost(NANO // 20, estimated=True))
    await replica.ended((await replica.submit(record)).record.id)
    await until(lambda: not list(replica.engine.budgets.accounts_holding(record)))


def _events(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(delivery.body) for delivery in receiver.deliveries]


async def test_each_threshold_is_announced_once(
    settings: Settings, providers: ScriptedProviders, receiver: Receiver
) -> None:
    async with serving(settings, providers, price=_five_cents, budget_policy=POLICY) as replica:
        await _spend(replica)
        await until(lambda: len(receiver.deliveries) == 1)
        await _spend(replica)
        await until(lambda: len(receiver.deliveries) == 3)
        secret = (await replica.engine.webhook_secrets.get("default")).secret
    half, *rest = _events(receiver)
    assert {key: half[key] for key in ("object", "type", "data")} == {
        "object": "event",
        "type": "budget.threshold",
        "data": {
            "scope": "key",
            "id": "k",
            "tenant": "acme",
            "threshold": 50,
            "spent": 0.05,
            "budget": 0.1,
            "currency": "USD",
            "period": "total",
        },
    }
    assert sorted(event["data"]["threshold"] for event in rest) == [80, 100]
    for delivery in receiver.deliveries:
        assert Webhook(secret).verify(delivery.body.decode(), delivery.headers)
        assert delivery.headers["webhook-id"] == json.loads(delivery.body)["id"]


async def test_failed_event_is_repeated_with_its_id_and_given_up_at_last(
    settings: Settings, providers: ScriptedProviders, receiver: Receiver
) -> None:
    receiver.status = itertools.chain([500, 503], itertools.repeat(200))
    async with serving(settings, providers, price=_five_cents, budget_policy=POLICY) as replica:
        await _spend(replica)
        await until(lambda: len(receiver.deliveries) == 3)
        receiver.status = itertools.repeat(500)
        await _spend(replica)
        await until(lambda: len(receiver.deliveries) == 9)
    assert len({event["id"] for event in _events(receiver)[:3]}) == 1
    assert len({event["id"] for event in _events(receiver)[3:]}) == 2


async def test_event_survives_the_crash_of_its_replica(
    settings: Settings, providers: ScriptedProviders, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.status = itertools.chain([500], itertools.repeat(200))
    monkeypatch.setattr(operator_events, "POLL_SECONDS", 3600)  # the first replica makes no second attempt
    async with serving(settings, providers, price=_five_cents, budget_policy=POLICY) as first:
        await _spend(first)
        await until(lambda: len(receiver.deliveries) == 1)
    monkeypatch.setattr(operator_events, "POLL_SECONDS", 0.05)
    async with serving(settings, providers, 1, price=_five_cents, budget_policy=POLICY):
        await until(lambda: len(receiver.deliveries) == 2)
    assert len({event["id"] for event in _events(receiver)}) == 1
