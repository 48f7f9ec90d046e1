"""Records that a server refuses: new ones are refused, ended ones trimmed, and no write is retried without limit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import ParseDict
from imagegateway.jobs import record_size, states
from imagegateway.jobs.stream import JobStream
from imagegateway.jobs.stream_errors import OutcomeUnknownError, RecordTooLargeError, RefusedError
from imagegateway.jobs.stream_setup import check_permissions
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.nats import connect
from imagegateway.platform.setting_source import SettingError
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import WebhookAttempt

from tests.jobs import records
from tests.jobs.memory import MemoryConnection, StreamLog
from tests.jobs.replica import serving
from tests.jobs.scripted_providers import ScriptedProviders
from tests.jobs.server import Process, settings_for, until
from tests.support.stack import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.provider.v1 import provider_service_pb2 as provider

CONFIG = """
listen: "127.0.0.1:{port}"
authorization {{ users: [
  {{ user: gateway, password: p }},
  {{ user: reader, password: p, permissions: {{ publish: ["$JS.>", "_INBOX.>"], subscribe: ">" }} }},
] }}
jetstream {{ store_dir: "{store}" }}
"""


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[str]:
    """Return the address of an external server with the default limit of 1 MiB for a message."""
    port = free_port()
    config = tmp_path / "nats.conf"
    config.write_text(CONFIG.format(port=port, store=tmp_path / "store"))
    server = Process(config, port)
    server.start()
    yield f"127.0.0.1:{port}"
    server.kill()


@pytest.fixture
async def small(plain: str, tmp_path: Path) -> AsyncIterator[JobStream]:
    client = await connect(settings_for(tmp_path, NATS_URL=f"nats://gateway:p@{plain}"), "test")
    yield await JobStream.open(client, 1)
    await client.close()


def with_options(size: int) -> JobRecord:
    record = records.job(state=states.SUBMITTING)
    ParseDict({"padding": "x" * size}, record.task.provider_options)
    return record


@pytest.mark.processes
async def test_new_record_without_room_for_growth_is_refused_at_once(small: JobStream) -> None:
    record = with_options(1 << 20)
    with pytest.raises(GatewayError) as caught:
        await small.create(record)
    assert caught.value.reason == ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE
    assert "max_payload" in caught.value.message
    assert await small.last(record.id) is None


@pytest.mark.processes
async def test_record_near_the_limit_reaches_all_its_states(small: JobStream) -> None:
    entry = await small.create(with_options(small.max_record_bytes - record_size.GROWTH_BYTES - 2000))
    running = records.follow(entry, states.RUNNING)
    running.task_ref = "r" * 1000
    entry = await small.advance(entry, running)
    entry = await small.advance(entry, records.follow(entry, states.COMPLETED))
    assert len(entry.record.task.provider_options.fields["padding"].string_value) > 800_000


@pytest.mark.processes
async def test_result_over_the_limit_is_trimmed_and_kept(small: JobStream) -> None:
    entry = await small.create(with_options(500_000))
    ended = records.follow(entry, states.COMPLETED)
    ended.done.CopyFrom(records.done().done)
    ended.done.artifacts[0].revised_prompt = "p" * 600_000
    media = ended.done.artifacts[0].media.key
    entry = await asyncio.wait_for(small.advance(entry, ended), 10)
    found = await small.last(entry.record.id)
    assert found
    assert found.record.state == states.COMPLETED
    assert found.record.done.artifacts[0].media.key == media
    assert found.record.task.prompt == "a lighthouse"


@pytest.mark.processes
async def test_record_over_the_limit_is_refused_and_not_repeated(small: JobStream) -> None:
    entry = await small.create(with_options(10))
    running = records.follow(entry, states.RUNNING)
    running.task_ref = "r" * (1 << 20)
    with pytest.raises(RecordTooLargeError):
        await asyncio.wait_for(small.advance(entry, running), 10)


@pytest.mark.processes
async def test_job_whose_state_can_not_be_kept_fails_and_its_task_is_stopped(plain: str, tmp_path: Path) -> None:
    async def start(_request: object) -> provider.TaskState:
        return records.running("r" * (1 << 20), after=3600)

    providers = ScriptedProviders()
    providers.on_start = start
    async with serving(settings_for(tmp_path, NATS_URL=f"nats://gateway:p@{plain}"), providers) as up:
        submitted = await up.submit(records.job())
        ended = (await up.ended(submitted.record.id)).record
        assert ended.state == states.FAILED
        assert ended.failed.may_be_billed
        await until(lambda: providers.cancels)
        await up.held_nothing()


class Leaderless(MemoryConnection):
    """A connection to a cluster that answers no write until it has elected a leader."""

    def __init__(self, unanswered: int) -> None:
        super().__init__(StreamLog())
        self.unanswered = unanswered

    async def request(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None, seconds: float | None = None
    ) -> dict[str, Any]:
        if self.unanswered:
            self.unanswered -= 1
            raise OutcomeUnknownError
        return {"error": {"code": 400, "err_code": 10070, "description": "wrong last sequence"}}


async def test_start_waits_for_the_election_of_a_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagegateway.jobs.stream_connection.RETRY_PAUSE", 0.0)
    connection = Leaderless(unanswered=20)
    await check_permissions(connection, "j.permission.none.none", "k.permission")
    assert not connection.unanswered


@pytest.mark.processes
async def test_missing_permission_stops_the_start_and_is_named(
    small: JobStream, plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagegateway.jobs.stream_connection.REQUEST_SECONDS", 0.1)
    monkeypatch.setattr("imagegateway.jobs.stream_connection.PATIENCE_SECONDS", 0.3)
    client = await connect(settings_for(tmp_path, NATS_URL=f"nats://reader:p@{plain}"), "test")
    with pytest.raises(SettingError, match=r"j\.>, k\.> and u\.>"):
        await JobStream.open(client, 1)
    await client.close()


class Refusing(MemoryConnection):
    """A connection whose writes fail with the given errors in order, before one succeeds."""

    def __init__(self, *errors: dict[str, Any]) -> None:
        super().__init__(StreamLog())
        self.errors = list(errors)

    async def request(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None, seconds: float | None = None
    ) -> dict[str, Any]:
        if subject.startswith("j.") and self.errors:
            return {"error": self.errors.pop(0)}
        return await super().request(subject, data, headers, seconds)


def refusing(*errors: dict[str, Any]) -> JobStream:
    """Return a stream whose server refuses the first writes."""
    return JobStream(Refusing(*errors))


FULL = {"code": 503, "err_code": 10077, "description": "maximum bytes exceeded"}
BAD = {"code": 400, "err_code": 10054, "description": "message size exceeds maximum allowed"}


async def test_refusal_of_the_message_itself_is_final() -> None:
    entry = await refusing().create(records.job(state=states.SUBMITTING))
    with pytest.raises(RefusedError, match="message size"):
        await refusing(BAD).advance(entry, records.follow(entry, states.RUNNING))
    with pytest.raises(GatewayError) as caught:
        await refusing(BAD).create(records.job())
    assert caught.value.code == "service_unavailable"


async def test_write_waits_for_an_earlier_one_that_the_leader_has_not_applied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("imagegateway.platform.backoff.FIRST_SECONDS", 0.0)
    server = Refusing()
    stream = JobStream(server)
    entry = await stream.create(records.job(state=states.SUBMITTING))
    server.errors = [{"code": 400, "err_code": 10164, "description": "wrong last sequence"}] * 3
    assert (await stream.advance(entry, records.follow(entry, states.RUNNING))).record.state == states.RUNNING


async def test_full_stream_delays_a_result_and_refuses_a_new_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagegateway.platform.backoff.FIRST_SECONDS", 0.0)
    server = Refusing()
    stream = JobStream(server)
    entry = await stream.create(records.job(state=states.SUBMITTING))
    server.errors = [FULL] * 7
    ended = await stream.advance(entry, records.follow(entry, states.COMPLETED))
    assert ended.record.state == states.COMPLETED
    with pytest.raises(GatewayError) as caught:
        await refusing(*[FULL] * 3).create(records.job())
    assert (caught.value.code, bool(caught.value.retry_after)) == ("service_unavailable", True)


async def test_new_job_waits_for_the_election_of_a_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagegateway.jobs.stream_connection.RETRY_PAUSE", 0.0)
    leaderless = {"code": 503, "err_code": 10008, "description": "JetStream system temporarily unavailable"}
    server = Refusing(*[leaderless] * 20)
    assert (await JobStream(server).create(records.job())).seq
    assert not server.errors


@pytest.mark.parametrize("limit", [2_000_000, 400_000, 60_000, 5_000, 3_000, 1_500])
def test_ended_record_loses_the_least_important_parts_first(limit: int) -> None:
    record = with_options(500_000)
    record.state = states.COMPLETED
    record.done.CopyFrom(records.done().done)
    record.done.artifacts[0].revised_prompt = "p" * 100_000
    record.task.prompt = "q" * 20_000
    record.webhook.url = "https://example.com/hook"
    record.webhook.attempts.extend(WebhookAttempt(at=1, error="e" * 4000) for _ in range(2))
    record.metadata["key"] = "v" * 600
    record_size.trim(record, limit)
    assert record.ByteSize() <= limit
    assert record.webhook.url
    assert record.task.model == "local/sketch"
    if limit >= 3_000:
        assert record.state == states.COMPLETED
        assert record.done.artifacts[0].media.key
        assert not record.HasField("failed")
    else:
        assert record.state == states.FAILED
        assert record.failed.may_be_billed
    assert (len(record.task.prompt) > 500) == (limit > 20_000)


def test_failed_record_keeps_its_prompt_and_the_start_of_its_long_error() -> None:
    record = records.job(state=states.FAILED)
    record.failed.reason = ErrorReason.ERROR_REASON_PROVIDER_ERROR
    record.failed.message = "e" * 5_000
    record.warnings.add(message="kept")
    record_size.trim(record, 2_000)
    assert record.failed.message == "e" * 500
    assert record.warnings
    assert record.task.prompt == "a lighthouse"
