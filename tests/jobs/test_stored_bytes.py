"""A tenant's share of all kept records: ended jobs count too, and other tenants keep their share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs import states, transitions
from imagegateway.jobs.list_file import JobListFile, row_of
from imagegateway.jobs.retention import DAY_SECONDS, RECORD_DAYS, STEP_SECONDS
from imagegateway.jobs.stored_bytes import message_row_of
from imagegateway.jobs.stream import Entry
from imagegateway.platform.errors import GatewayError

from tests.jobs import records
from tests.jobs.replica import serving
from tests.jobs.server import settings_for, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.provider.v1 import provider_service_pb2 as provider

    from tests.jobs.replica import Replica
    from tests.jobs.scripted_providers import ScriptedProviders
    from tests.jobs.server import Nats

KIB = 1024


@pytest.fixture
def listed() -> Iterator[JobListFile]:
    projection = JobListFile(Path(":memory:"))
    yield projection
    projection.close()


def put(projection: JobListFile, seq: int, job_id: str, state: records.StateValue, tenant: str = "acme") -> int:
    """Apply a record written at 1 s. Return the size of its message in bytes."""
    record = records.job(job_id=job_id, tenant=tenant, state=state)
    record.updated_at = 1000
    message = message_row_of(Entry(seq, record))
    projection.write([row_of(Entry(seq, record))], seq, [message])
    return message[3]


def test_each_state_of_a_job_counts_once(listed: JobListFile) -> None:
    queued = put(listed, 1, "a", states.QUEUED)
    put(listed, 2, "a", states.RUNNING)
    running = put(listed, 3, "a", states.RUNNING)
    other = put(listed, 4, "b", states.QUEUED, tenant="painters")
    assert listed.stored.all() == {"acme": queued + running, "painters": other}
    assert listed.stored.of({"acme", "another"}) == {"acme": queued + running}


def test_expired_messages_count_no_more_and_ended_states_are_kept_longer(listed: JobListFile) -> None:
    put(listed, 1, "a", states.RUNNING)
    completed = put(listed, 2, "a", states.COMPLETED)
    listed.expire(STEP_SECONDS + 2)
    assert listed.stored.all() == {"acme": completed}
    listed.expire(RECORD_DAYS * DAY_SECONDS + 2)
    assert listed.stored.all() == {}


def test_erased_job_counts_its_last_message_only(listed: JobListFile) -> None:
    other = put(listed, 1, "b", states.COMPLETED)
    put(listed, 2, "a", states.RUNNING)
    put(listed, 3, "a", states.COMPLETED)
    record = records.job(job_id="a", state=states.COMPLETED)
    transitions.erase(record)
    message = message_row_of(Entry(4, record))
    for _ in range(2):
        listed.write([row_of(Entry(4, record))], 4, [message])
    assert listed.stored.all() == {"acme": other + message[3]}


def long_job(tenant: str) -> JobRecord:
    record = records.job(tenant=tenant)
    record.task.prompt = "p" * 60 * KIB
    return record


async def complete(replica: Replica, tenant: str) -> None:
    entry = await replica.submit(long_job(tenant))
    await replica.ended(entry.record.id)


async def refusal(replica: Replica, tenant: str) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await replica.submit(long_job(tenant))
    return caught.value


async def test_tenant_whose_ended_jobs_fill_its_share_is_refused_and_another_is_not(
    nats: Nats, providers: ScriptedProviders
) -> None:
    started: list[str] = []

    async def start(request: provider.StartRequest) -> provider.TaskState:
        started.append(request.job_id)
        return records.done()

    providers.on_start = start
    values = {"NATS_URL": nats.settings.nats_address(), "TENANT_RECORDS_MIB": "1"}
    settings = settings_for(nats.settings.data_dir, **values)
    async with serving(settings, providers) as up:
        stored = up.engine.feed.stored_bytes
        while stored("acme") < 960 * KIB:
            before = stored("acme")
            await complete(up, "acme")
            await until(lambda before=before: stored("acme") >= before + 120 * KIB)  # type: ignore[misc]
        assert not up.engine.feed.live
        calls = len(started)
        refused = await refusal(up, "acme")
        assert refused.code == "overloaded"
        assert "IMAGEGATEWAY_TENANT_RECORDS_MIB" in refused.message
        assert refused.retry_after
        assert len(started) == calls
        await complete(up, "painters")
        assert abs(await up.stream.used_bytes() - stored("acme") - stored("painters")) < 130 * KIB
    async with serving(settings, providers) as successor:
        assert (await refusal(successor, "acme")).code == "overloaded"
        await complete(successor, "painters")
