"""Any interleaving of two replicas with budgets, their callers, crashes, lost answers and sweeps.

The ledger equals the sum of the records, no budget is ever passed, and nothing stays reserved.
"""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import polling, states, stream_connection
from imagegateway.jobs.budgets import account as accounts
from imagegateway.jobs.budgets.ledger import BudgetPolicy
from imagegateway.keys.policy import BudgetPeriod, Quota, key_account, tenant_account
from imagegateway.media.store import MediaStore
from imagegateway.platform import backoff, patience, shared_documents
from imagegateway.platform.money import NANO, nanodollars
from imagegateway.v1.job_pb2 import Cost

from tests.jobs import records
from tests.jobs.replica_pair import ReplicaPair
from tests.jobs.scripted_providers import ScriptedProviders
from tests.support.examples import examples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from imagegateway.provider.v1 import provider_service_pb2 as provider

KEY_BUDGET: Final = Decimal("0.12")
TENANT_BUDGET: Final = Decimal("0.18")
ESTIMATE: Final = 0.03
POLICY: Final = BudgetPolicy(
    key_quota=lambda _key: Quota(budget=KEY_BUDGET, budget_period=BudgetPeriod.TOTAL),
    tenant_quota=lambda _tenant: Quota(budget=TENANT_BUDGET, budget_period=BudgetPeriod.TOTAL),
)
LIMITS: Final = {
    key_account("k0"): round(KEY_BUDGET * NANO),
    key_account("k1"): round(KEY_BUDGET * NANO),
    tenant_account("acme"): round(TENANT_BUDGET * NANO),
}
_GOES = 3
"""Waiting requests and answers that one step lets go."""
_KINDS: Final = (
    *["go"] * 8,
    *["submit"] * 2,
    "submit with a key",
    "twin",
    "hang up",
    "cancel",
    "write failed",
    "answer lost",
    "crash",
    "start",
    "reconcile",
    "sweep",
)
_CHOICES: Final = {"go": (0, 3), "hang up": (0, 3), "write failed": (1, 5), "answer lost": (1, 5)}
"""Range of a step's choice; of the others: one of two replicas."""
STEPS = st.lists(
    st.sampled_from(_KINDS).flatmap(lambda kind: st.tuples(st.just(kind), st.integers(*_CHOICES.get(kind, (0, 1))))),
    min_size=15,  # without, most lists have five steps
    max_size=60,
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
        patch.setattr(shared_documents, "_MAX_PAUSE_SECONDS", 0.0)
        patch.setattr(patience, "RETRY_SECONDS", 0.0)
        yield


@settings(max_examples=examples(1.5), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    STEPS, st.booleans(), st.sampled_from(["done", "running", "failed", "lost"]), st.sampled_from([0.0, 0.02, 0.03])
)
def test_ledger_equals_the_records_and_no_budget_is_passed(
    store: MediaStore, steps: list[tuple[str, int]], stops: bool, answer: str, cost: float
) -> None:
    asyncio.run(_interleave(store, steps, stops=stops, answer=answer, cost=cost))


@pytest.mark.parametrize("seed", range(4))
async def test_random_walks_leave_the_ledger_equal_to_the_records(store: MediaStore, seed: int) -> None:
    """Walks of many steps with equal odds: Hypothesis prefers short and simple ones."""
    dice = random.Random(seed)  # noqa: S311  a test's dice
    for _ in range(examples(0.25)):
        steps = [(kind, dice.randint(*_CHOICES.get(kind, (0, 1)))) for kind in dice.choices(_KINDS, k=45)]
        await _interleave(
            store,
            steps,
            stops=dice.random() < 0.5,
            answer=dice.choice(["done", "running"]),
            cost=dice.choice([0.02, 0.03]),
        )


def _job(key_id: str) -> JobRecord:
    record = records.job()
    record.key_id = key_id
    record.estimate.CopyFrom(Cost(amount=ESTIMATE, currency="USD", estimated=True))
    return record


def _copied(record: JobRecord) -> JobRecord:
    return JobRecord.FromString(record.SerializeToString())


async def _interleave(
    store: MediaStore, steps: list[tuple[str, int]], *, stops: bool, answer: str, cost: float
) -> None:
    providers = ScriptedProviders()
    providers.stops = stops

    async def start(_request: provider.StartRequest) -> provider.TaskState:
        answers = {"done": records.done, "failed": records.refused}
        return answers.get(answer, records.running)()

    async def poll(request: provider.PollRequest) -> provider.TaskState:
        polls = providers.polls[request.job_id]
        end = records.refused if answer == "lost" else records.done
        return end() if polls > 2 else records.running(progress=30 * polls)

    providers.on_start, providers.on_poll = start, poll
    pair = ReplicaPair(
        store,
        providers,
        route_limit=3,
        price=lambda _task, _done: Cost(amount=cost, currency="USD"),
        budget_policy=POLICY,
    )
    tried: list[JobRecord] = []
    shared: set[str] = set()
    try:
        await pair.serve()
        await _open_accounts(pair, tried)
        for step, choice in steps:
            await pair.settle()
            match step:
                case "submit" | "submit with a key":
                    tried.append(_job(f"k{choice}"))
                    if step == "submit with a key":
                        shared.add(tried[-1].id)
                    pair.submit(choice, _copied(tried[-1]), has_idempotency_key=tried[-1].id in shared)
                case "twin" if tried and tried[-1].id in shared:
                    pair.submit(choice, _copied(tried[-1]), has_idempotency_key=True)
                case "cancel" if tried:
                    pair.cancel(choice, tried[-1].id)
                case "sweep":
                    await pair.sweep_now(choice)
                case "go":
                    for _ in range(_GOES):
                        pair.take(step, choice)
                        await pair.settle()
                case _:
                    pair.take(step, choice)
        await pair.finish()
        _assert_settled(pair, tried)
        pair.assert_nothing_is_held()
    finally:
        await pair.close()


async def _open_accounts(pair: ReplicaPair, tried: list[JobRecord]) -> None:
    """Run a job of each key, so that the accounts are open."""
    pair.gates.open = True
    for index in (0, 1):
        tried.append(_job(f"k{index}"))
        pair.submit(index, _copied(tried[-1]))
        await pair.settle()
        await pair.settle()
    pair.gates.open = False


def _assert_settled(pair: ReplicaPair, tried: list[JobRecord]) -> None:
    for name, value in pair.budgets.history:
        account = accounts.decode(value)
        assert account.left(LIMITS[name]) >= 0, "a budget was passed"
    spent = dict.fromkeys(LIMITS, 0)
    for record in tried:
        past = pair.log.records(record.id)
        if past:
            assert past[-1].closed
            if past[-1].record.state == states.COMPLETED:
                assert past[-1].record.HasField("cost")
            for name in (key_account(record.key_id), tenant_account(record.tenant)):
                spent[name] += nanodollars(past[-1].record.cost)
        else:
            assert not pair.providers.starts[record.id]
    for name, (_, value) in pair.budgets.values.items():
        account = accounts.decode(value)
        assert account.reservations == {}, "a reservation leaks"
        assert account.spent == spent.pop(name), "the ledger differs from the records"
    assert not any(spent.values())
