"""Retention: settings, tenants' policies, and the lifetime of messages and list entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs import states
from imagegateway.jobs.retention import (
    DAY_SECONDS,
    RetentionPolicies,
    media_expire_at,
    record_seconds,
    usage_expires_at,
)
from imagegateway.jobs.stream_connection import NAME
from imagegateway.keys.tenants import TenantPolicy
from imagegateway.platform.setting_source import SettingError

from tests.jobs import records
from tests.jobs.server import settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.jobs.stream import JobStream
    from imagegateway.platform.nats_client import Client


def policies(folder: Path, **settings: str) -> RetentionPolicies:
    """Return policies in which the tenant `short` has its own retention."""
    own = {"short": TenantPolicy("short", media_days=1, record_days=2, usage_days=3)}
    return RetentionPolicies(settings_for(folder, **settings), lambda name: own.get(name) or TenantPolicy(name))


def test_settings_apply_to_tenants_without_a_policy(tmp_path: Path) -> None:
    record = records.job(tenant="acme")
    policies(tmp_path, MEDIA_DAYS="10", RECORD_DAYS="20", USAGE_DAYS="30").apply(record)
    found = (record.task.media_days, record.retention.record_days, record.retention.usage_days)
    assert found == (10, 20, 30)
    policies(tmp_path).apply(record)
    found = (record.task.media_days, record.retention.record_days, record.retention.usage_days)
    assert found == (7, 30, 400)


def test_policy_of_a_tenant_overrides_the_settings(tmp_path: Path) -> None:
    record = records.job(tenant="short")
    policies(tmp_path).apply(record)
    found = (record.task.media_days, record.retention.record_days, record.retention.usage_days)
    assert found == (1, 2, 3)


def test_prompts_are_kept_unless_the_setting_says_no(tmp_path: Path) -> None:
    record = records.job()
    policies(tmp_path).apply(record)
    assert not record.drop_prompts
    policies(tmp_path, KEEP_PROMPTS="false").apply(record)
    assert record.drop_prompts


@pytest.mark.parametrize("name", ["MEDIA_DAYS", "RECORD_DAYS", "USAGE_DAYS"])
def test_retention_of_no_day_stops_the_start(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingError, match=f"IMAGEGATEWAY_{name}"):
        settings_for(tmp_path, **{name: "0"})


def test_records_of_earlier_versions_keep_their_retention() -> None:
    record = records.job(state=states.COMPLETED)
    record.task.media_days = 0
    assert record_seconds(record) == 30 * DAY_SECONDS
    assert usage_expires_at(record) == 400 * DAY_SECONDS
    assert media_expire_at(record) == 7 * DAY_SECONDS


def test_media_and_usage_of_a_job_expire_days_after_its_completion() -> None:
    record = records.job(state=states.COMPLETED)
    record.completed_at = 5_000
    record.task.media_days, record.retention.usage_days = 2, 3
    assert media_expire_at(record) == 5 + 2 * DAY_SECONDS
    assert usage_expires_at(record) == 5 + 3 * DAY_SECONDS


async def test_messages_live_as_the_record_says(stream: JobStream, client: Client) -> None:
    record = records.job(state=states.SUBMITTING)
    record.retention.record_days = 2
    entry = await stream.create(record)
    ended = await stream.advance(entry, records.follow(entry, states.COMPLETED))
    js = client.jetstream()
    messages = [await js.get_msg(NAME, seq) for seq in (entry.seq, ended.seq)]
    assert [(message.headers or {})["Nats-TTL"] for message in messages] == ["259200s", "172800s"]
