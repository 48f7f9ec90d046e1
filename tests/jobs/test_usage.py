"""Usage of jobs over a real NATS server: exact after crashes, losses, late costs and erasures."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from imagegateway.job.v1.usage_entry_pb2 import UsageBatch, UsageEntry
from imagegateway.jobs import states
from imagegateway.jobs.usage import journal
from imagegateway.jobs.usage.journal import UsageJournal
from imagegateway.jobs.usage.query import Totals, UsageQuery

from tests.jobs import records
from tests.jobs.replica import serving
from tests.jobs.scripted_providers import PendingCall
from tests.jobs.server import PATIENCE, settings_for
from tests.jobs.test_erasure import found_in

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.pull_consumer import Delivery
    from imagegateway.jobs.stream import JobStream
    from imagegateway.platform.nats_client import Client
    from imagegateway.platform.settings import Settings
    from imagegateway.provider.v1 import provider_service_pb2 as provider

    from tests.jobs.replica import Replica
    from tests.jobs.scripted_providers import ScriptedProviders
    from tests.jobs.server import Nats

USD = 1_000_000_000
EVERYTHING = UsageQuery(None)


@pytest.fixture
def settings(nats: Nats) -> Settings:
    return settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address())


async def run(replica: Replica, record: JobRecord) -> JobRecord:
    """Run a job to its end. Each image costs 1 USD."""
    await replica.submit(record)
    return (await replica.ended(record.id)).record


async def total(replica: Replica, query: UsageQuery = EVERYTHING) -> Totals:
    return (await replica.engine.usage.report(query)).total


async def test_report_has_all_jobs_that_ended_before(replica: Replica, providers: ScriptedProviders) -> None:
    made = [await run(replica, records.job()) for _ in range(3)]
    providers.on_start = _fail
    made.append(await run(replica, records.job(tenant="other")))
    cost = round(sum(record.cost.amount for record in made) * USD)
    assert await total(replica) == Totals(4, 3, 1, cost)
    assert await total(replica, UsageQuery("acme")) == Totals(3, 3, 0, 3 * USD)
    assert await total(replica, UsageQuery("other")) == Totals(1, 0, 1, 0)


async def test_each_job_counts_once_over_two_replicas(settings: Settings, providers: ScriptedProviders) -> None:
    async with serving(settings, providers, 0) as first, serving(settings, providers, 1) as second:
        for _ in range(3):
            await asyncio.gather(run(first, records.job()), run(second, records.job()))
        assert await total(first) == await total(second) == Totals(6, 6, 0, 6 * USD)


async def test_crash_before_the_acknowledgement_neither_loses_nor_doubles_usage(
    settings: Settings, providers: ScriptedProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "ACKNOWLEDGE_SECONDS", 1.0)
    written = asyncio.Event()
    write = UsageJournal._write_deliveries

    async def crash(self: UsageJournal, deliveries: list[Delivery]) -> None:
        monkeypatch.setattr(self._consumer, "acknowledge", _nothing)
        await write(self, deliveries)
        written.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(UsageJournal, "_write_deliveries", crash)
        async with serving(settings, providers) as replica:
            await run(replica, records.job())
            await written.wait()
    async with serving(settings, providers) as replica:
        async with asyncio.timeout(PATIENCE):
            await run(replica, records.job())
        assert await total(replica) == Totals(2, 2, 0, 2 * USD)


async def test_lost_file_and_expired_records_lose_no_usage(
    settings: Settings, providers: ScriptedProviders, client: Client
) -> None:
    async with serving(settings, providers) as replica:
        await run(replica, records.job())
        assert (await total(replica)).requests == 1
    await client.jetstream().purge_stream("JOBS")
    for path in settings.data_dir.glob("usage-*"):
        path.unlink()
    async with serving(settings, providers) as replica:
        assert await total(replica) == Totals(1, 1, 0, USD)


async def test_consumer_that_is_deleted_is_created_again(replica: Replica, client: Client) -> None:
    await run(replica, records.job())
    assert await total(replica) == Totals(1, 1, 0, USD)
    await client.jetstream().delete_consumer("JOBS", journal.CONSUMER)
    await run(replica, records.job())
    async with asyncio.timeout(PATIENCE):
        while await total(replica) != Totals(2, 2, 0, 2 * USD):  # noqa: ASYNC110  the condition is in NATS
            await asyncio.sleep(0.1)


async def test_records_of_an_earlier_version_are_counted(
    stream: JobStream, settings: Settings, providers: ScriptedProviders
) -> None:
    entry = await stream.create(records.job(state=states.SUBMITTING))
    record = records.follow(entry, states.COMPLETED)
    record.cost.amount = 0.04
    await stream.advance(entry, record)
    async with serving(settings, providers) as replica:
        assert await total(replica) == Totals(1, 0, 0, 40_000_000)


async def test_late_cost_of_a_cancelled_job_counts_once(replica: Replica, providers: ScriptedProviders) -> None:
    call = PendingCall()
    providers.on_start = call
    submitted = await replica.submit(records.job())
    await call.begun.wait()
    await replica.engine.execution.cancellation.cancel(submitted)
    assert await total(replica) == Totals(1, 0, 0, 0)
    call.answer(records.done())
    await replica.reached(submitted.record.id, lambda entry: not entry.record.call_open)
    assert await total(replica) == Totals(1, 0, 0, USD)


async def test_erased_job_keeps_its_cost_and_leaves_neither_user_nor_metadata(replica: Replica, nats: Nats) -> None:
    secret = "the-secret-of-an-end-user"
    record = records.job()
    record.task.user = record.metadata["customer"] = secret
    other = records.job()
    await asyncio.gather(run(replica, record), run(replica, other))
    by_user = UsageQuery(None, group_by=("user", "metadata.customer"))
    before = await replica.engine.usage.report(by_user)
    assert [row.values for row in before.rows] == [("", ""), (secret, secret)]
    assert len(found_in(nats.settings.data_dir, secret)) >= 2, "the streams of jobs and of usage"

    entry = await replica.stream.last(record.id)
    assert entry is not None
    await replica.engine.execution.erasure.erase(entry)
    after = await replica.engine.usage.report(by_user)

    assert [row.values for row in after.rows] == [("", "")]
    assert after.total == before.total == Totals(2, 2, 0, 2 * USD)
    assert found_in(nats.settings.data_dir, secret) == []


async def test_usage_of_a_past_retention_is_not_written(replica: Replica) -> None:
    record = records.job()
    record.retention.usage_days = 1
    entry = await replica.stream.create(record)
    ended = records.follow(entry, states.CANCELLED)
    ended.completed_at -= 2 * 86_400_000
    await replica.stream.advance(entry, ended)
    assert await total(replica) == Totals()


async def _fail(_request: object) -> provider.TaskState:
    return records.refused()


async def _nothing(_delivery: object) -> None:
    """Acknowledge nothing."""


async def test_spending_includes_each_job_that_has_ended(replica: Replica) -> None:
    first, second = await run(replica, records.job()), await run(replica, records.job())
    spent = replica.engine.usage.spent
    assert await spent(tenant="acme", key_id="", since=0, without=()) == 2 * USD
    assert await spent(tenant="acme", key_id="", since=0, without=[first.id]) == USD
    tomorrow = second.completed_at + 86_400_000
    assert await spent(tenant="acme", key_id="", since=tomorrow, without=()) == 0


@pytest.mark.parametrize(
    ("amount", "completed_at"), [(float("nan"), 1), (float("inf"), 1), (1e300, 1), (0, 0), (0, 1 << 60)]
)
async def test_unreadable_record_is_skipped(replica: Replica, amount: float, completed_at: int) -> None:
    entry = await replica.stream.create(records.job(state=states.SUBMITTING))
    record = records.follow(entry, states.CANCELLED)
    record.cost.amount, record.completed_at = amount, completed_at
    await replica.stream.advance(entry, record)
    await run(replica, records.job())
    assert (await total(replica)).requests == 1


async def test_message_that_is_no_usage_is_skipped(replica: Replica, client: Client) -> None:
    js = client.jetstream()
    await js.publish("u.400", b"no usage")
    await js.publish("u.400", UsageBatch(entries=[UsageEntry(job_id="x", ended_at=1 << 62)]).SerializeToString())
    await run(replica, records.job())
    assert (await total(replica)).requests == 1
