"""Limits in bytes: of a new job, of a tenant, and of an ended job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from google.protobuf.json_format import ParseDict
from imagegateway.jobs import record_size, states, transitions
from imagegateway.platform.errors import GatewayError

from tests.jobs import records
from tests.jobs.replica import serving
from tests.jobs.server import settings_for

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.provider.v1 import provider_service_pb2 as provider

    from tests.jobs.scripted_providers import ScriptedProviders
    from tests.jobs.server import Nats

KIB = 1024


def with_options(size: int) -> JobRecord:
    record = records.job(webhook_url="https://example.com/hook")
    ParseDict({"padding": "x" * size}, record.task.provider_options)
    return record


@pytest.mark.parametrize("letter", ["x", "字", "🦊"])
def test_longest_prompts_fit_beside_options(letter: str) -> None:
    record = with_options(60 * KIB)
    record.task.prompt = record.task.negative_prompt = letter * 32_000
    record_size.check_new(record)


def test_large_options_are_refused_by_name() -> None:
    with pytest.raises(GatewayError) as caught:
        record_size.check_new(with_options(64 * KIB))
    assert (caught.value.meaning.http, caught.value.code) == (413, "request_too_large")
    assert caught.value.param == "provider_options"
    assert "65536 together" in caught.value.message


def test_other_large_fields_are_refused_without_a_name() -> None:
    record = records.job()
    record.task.user = "u" * 65 * KIB
    with pytest.raises(GatewayError) as caught:
        record_size.check_new(record)
    assert (caught.value.meaning.http, caught.value.param) == (413, None)


def test_ended_job_keeps_its_request_without_inputs_and_options() -> None:
    record = with_options(60 * KIB)
    record.task.inputs.add(key="uploads/a")
    record.task.mask.key = "uploads/b"
    record.task.seed = 7
    transitions.mark_submitting(record)
    transitions.mark_failed(record, records.refused().failed)
    assert (record.task.prompt, record.task.n, record.task.seed) == ("a lighthouse", 1, 7)
    assert not record.task.inputs
    assert not record.task.HasField("mask")
    assert record.ByteSize() < KIB


def test_cancelled_job_keeps_its_inputs_until_its_call_is_over() -> None:
    record = with_options(KIB)
    transitions.mark_submitting(record)
    transitions.mark_cancelled(record)
    assert record.call_open
    assert record.task.HasField("provider_options")
    transitions.close_call(record, None)
    assert not record.task.HasField("provider_options")


async def test_tenant_with_its_bytes_under_way_is_refused_and_another_is_not(
    nats: Nats, providers: ScriptedProviders
) -> None:
    async def start(_request: object) -> provider.TaskState:
        return records.running(after=3600)

    providers.on_start = start
    limits = {"LOCAL_CONCURRENCY": "1", "TENANT_JOBS_MIB": "1"}
    settings = settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address(), **limits)
    async with serving(settings, providers) as up:
        accepted: list[str] = []

        async def fill() -> None:
            for _ in range(20):
                entry = await up.submit(with_options(60 * KIB))
                accepted.append(entry.record.id)

        with pytest.raises(GatewayError) as caught:
            await fill()
        assert (caught.value.code, bool(caught.value.retry_after)) == ("overloaded", True)
        assert f"may hold {KIB * KIB};" in caught.value.message
        assert len(accepted) == 16
        other = with_options(60 * KIB)
        other.tenant = "other"
        assert (await up.submit(other)).record.state in {states.QUEUED, states.SUBMITTING}
