"""Erasure of jobs: no byte of prompt, media or metadata remains, and what counts stays."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import states, transitions
from imagegateway.jobs.stream_connection import NAME
from imagegateway.jobs.stream_errors import OutcomeUnknownError
from imagegateway.jobs.usage.query import UsageQuery
from imagegateway.media.objects import ResultOwner
from imagegateway.provider.v1 import provider_service_pb2 as provider
from nats.js.errors import NotFoundError

from tests.jobs import records
from tests.support import files

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.jobs.stream import Entry
    from imagegateway.platform.nats_client import Client

    from tests.jobs.replica import Replica
    from tests.jobs.scripted_providers import ScriptedProviders
    from tests.jobs.server import Nats

SECRET = "the-secret-of-an-end-user"  # in every field that must disappear


def secret_job() -> JobRecord:
    record = records.job()
    record.task.prompt = record.task.negative_prompt = f"{SECRET} at sea"
    record.task.user = SECRET
    record.metadata["customer"] = SECRET
    record.request_id = SECRET
    return record


def found_in(folder: Path, text: str) -> list[str]:
    """Return the files below a folder that contain a text."""
    return [path.name for path in files.holding(folder, text)]


async def remains(replica: Replica, nats: Nats) -> list[str]:
    """Return the files with the secret, once usage has followed the erasure."""
    await replica.engine.usage.report(UsageQuery(None))
    return found_in(nats.settings.data_dir, SECRET)


async def completed(replica: Replica, providers: ScriptedProviders, record: JobRecord) -> Entry:
    """Run a job with a partial image and a result, both in the store."""
    owner = ResultOwner.of(record.id, record.task)

    async def media(data: bytes) -> provider.MediaRef:
        stored = await replica.store.put_result(data, owner)
        return provider.MediaRef(key=stored.key, sha256=stored.sha256, media_type="image/png", size=stored.size)

    partial_image = provider.PartialImage(media=await media(b"partial image " + SECRET.encode()))
    artifact = provider.Artifact(media=await media(b"image " + SECRET.encode()), revised_prompt=SECRET)

    async def start(_request: object) -> provider.TaskState:
        return provider.TaskState(done=provider.Done(artifacts=[artifact], partial_images=[partial_image]))

    providers.on_start = start
    await replica.submit(record)
    return await replica.ended(record.id)


async def test_erased_job_leaves_no_byte_of_prompt_or_media(
    replica: Replica, providers: ScriptedProviders, nats: Nats
) -> None:
    entry = await completed(replica, providers, secret_job())
    assert len(found_in(nats.settings.data_dir, SECRET)) >= 3, "the stream, a partial image and a result"

    erased = (await replica.engine.execution.erasure.erase(entry)).record

    assert [each.seq async for each in replica.stream.history(entry.record.id, 0)] == [
        (await replica.stream.last(entry.record.id) or entry).seq
    ]
    assert await remains(replica, nats) == []
    assert (erased.state, erased.completed_at, erased.cost) == (
        states.COMPLETED,
        entry.record.completed_at,
        entry.record.cost,
    )
    assert (erased.task.model, erased.task.route, erased.erased_images) == ("local/sketch", "local", 1)
    assert erased.erased_at


async def test_replaced_messages_are_not_in_the_stream(
    replica: Replica, providers: ScriptedProviders, client: Client
) -> None:
    progress = iter((20, 40, 60, 80))

    async def poll(_request: object) -> provider.TaskState:
        value = next(progress, None)
        return records.done() if value is None else records.running(progress=value)

    async def start(_request: object) -> provider.TaskState:
        return records.running(progress=0)

    providers.on_start, providers.on_poll = start, poll
    record = secret_job()
    await replica.submit(record)
    entry = await replica.ended(record.id)
    erased = await replica.engine.execution.erasure.erase(entry)
    js = client.jetstream()
    kept = []
    for seq in range(1, erased.seq + 1):
        with suppress(NotFoundError):
            kept.append(await js.get_msg(NAME, seq))
    assert [message.seq for message in kept if (message.subject or "").startswith("j.job")] == [erased.seq]
    assert not [message for message in kept if SECRET.encode() in (message.data or b"")]


async def test_erasure_twice_changes_nothing(replica: Replica, providers: ScriptedProviders) -> None:
    entry = await completed(replica, providers, secret_job())
    first = await replica.engine.execution.erasure.erase(entry)
    assert await replica.engine.execution.erasure.erase(first) == first
    assert await replica.engine.execution.erasure.erase(entry) == first, "a caller that knows the earlier record"


@pytest.mark.parametrize("step", ["_writer.update", "_stream.delete_earlier"])
async def test_interrupted_erasure_is_completed_by_the_next_one(
    replica: Replica, providers: ScriptedProviders, nats: Nats, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    entry = await completed(replica, providers, secret_job())
    erasure = replica.engine.execution.erasure
    part, _, method = step.partition(".")

    async def crash(*_: object) -> None:
        raise OutcomeUnknownError

    with monkeypatch.context() as patch:
        patch.setattr(getattr(erasure, part), method, crash)
        with pytest.raises(OutcomeUnknownError):
            await erasure.erase(entry)
    newest = await replica.stream.last(entry.record.id)
    assert newest is not None
    await erasure.erase(newest)
    assert await remains(replica, nats) == []


async def test_erasure_keeps_the_same_image_of_another_job(replica: Replica, providers: ScriptedProviders) -> None:
    first = await completed(replica, providers, secret_job())
    second = await completed(replica, providers, secret_job())
    await replica.engine.execution.erasure.erase(first)
    kept = second.record.done.artifacts[0].media.key
    assert await replica.store.read(kept) == b"image " + SECRET.encode()


def test_each_field_of_an_erased_record_is_meant_to_remain() -> None:
    record = JobRecord(state=states.COMPLETED)
    for field in JobRecord.DESCRIPTOR.fields:
        if field.type == field.TYPE_STRING and not field.is_repeated:
            setattr(record, field.name, SECRET)
        elif field.type == field.TYPE_MESSAGE and not field.is_repeated:
            getattr(record, field.name).SetInParent()
    record.task.prompt = record.webhook.url = record.metadata["customer"] = SECRET
    record.upload_keys.append(SECRET)
    record.warnings.add(message=SECRET)
    record.partial_images.add()
    record.retention.record_days = 1
    transitions.erase(record)
    identity = {"id", "tenant", "type", "modality", "family", "task", "state", "retention"}
    writes = {"owner", "nonce", "submission"}
    usage = {"key_id", "key_fingerprint", "cost", "estimate", "erased_at"}
    assert {field.name for field, _ in record.ListFields()} == identity | writes | usage
    assert {field.name for field, _ in record.task.ListFields()} == set()


async def test_failed_job_keeps_its_reason_only(replica: Replica, providers: ScriptedProviders) -> None:
    async def start(_request: object) -> provider.TaskState:
        failed = records.refused()
        failed.failed.message = SECRET
        return failed

    providers.on_start = start
    record = secret_job()
    await replica.submit(record)
    entry = await replica.ended(record.id)
    erased = (await replica.engine.execution.erasure.erase(entry)).record
    assert (erased.state, erased.failed.reason) == (states.FAILED, entry.record.failed.reason)
    assert SECRET.encode() not in erased.SerializeToString()
