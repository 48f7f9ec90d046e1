"""Partial images during a provider call, and calls that end between partial images."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from imagegateway.jobs import states
from imagegateway.jobs.feed import public_type
from imagegateway.platform.errors import GatewayError, code_of
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.jobs import records
from tests.jobs.server import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.provider.v1 import provider_service_pb2 as provider

    from tests.jobs.replica import Replica
    from tests.jobs.scripted_providers import ScriptedProviders


async def test_partial_images_come_while_the_provider_is_called(
    replica: Replica, providers: ScriptedProviders
) -> None:
    """Each partial image is written at once. The job stays in a state that a successor does not start again."""
    go = asyncio.Semaphore(0)

    async def on_the_way(_request: object) -> AsyncIterator[provider.TaskState]:
        for count in (1, 2):
            await go.acquire()
            yield records.running("", partial_images=count)
        await go.acquire()

    providers.partial_images = on_the_way
    record = records.job()
    await replica.submit(record)
    changes = replica.engine.feed.changes(record.id, None)
    seen = [await anext(changes)]
    for _ in range(3):
        go.release()
        seen.append(await anext(changes))
    received = [(item.record.state, len(item.record.partial_images), public_type(item)) for item in seen if item]
    assert received == [
        (states.SUBMITTING, 0, "job.running"),
        (states.SUBMITTING, 1, "job.progress"),
        (states.SUBMITTING, 2, "job.progress"),
        (states.COMPLETED, 0, "job.completed"),
    ]
    assert (providers.starts[record.id], providers.polls[record.id]) == (1, 0)
    await replica.held_nothing()


async def test_call_that_breaks_after_a_partial_image_is_not_repeated(
    replica: Replica, providers: ScriptedProviders
) -> None:
    async def on_the_way(_request: object) -> AsyncIterator[provider.TaskState]:
        yield records.running("", partial_images=1)
        raise GatewayError(ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN, "?")

    providers.partial_images = on_the_way
    record = records.job()
    await replica.submit(record)
    ended = (await replica.ended(record.id)).record
    assert (ended.state, code_of(ended.failed.reason)) == (states.FAILED, "provider_outcome_unknown")
    assert providers.starts[record.id] == 1
    await replica.held_nothing()


async def test_job_cancelled_between_partial_images_stays_cancelled(
    replica: Replica, providers: ScriptedProviders
) -> None:
    go, over = asyncio.Event(), asyncio.Event()

    async def on_the_way(_request: object) -> AsyncIterator[provider.TaskState]:
        try:
            yield records.running("", partial_images=1)
            await go.wait()
            yield records.running("", partial_images=2)
        finally:
            over.set()

    providers.partial_images = on_the_way
    record = records.job()
    await replica.submit(record)
    entry = await replica.reached(record.id, lambda entry: bool(entry.record.partial_images))
    assert (await replica.engine.execution.cancellation.cancel(entry)).record.state == states.CANCELLED
    go.set()
    async with asyncio.timeout(PATIENCE):
        await over.wait()
    ended = await replica.stream.last(record.id)
    assert ended is not None
    assert ended.record.state == states.CANCELLED
    await replica.held_nothing()
