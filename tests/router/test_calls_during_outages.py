"""Calls of running jobs while a part of the gateway is unavailable: the error names the job and forbids a repeat."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.jobs.stream import Entry
from imagegateway.jobs.stream_errors import OutcomeUnknownError
from imagegateway.platform.errors import GatewayError, UnavailableError
from imagegateway.platform.readiness import OUTAGE_SECONDS, PERIOD, Readiness
from imagegateway.router import call_context, job_operations
from imagegateway.router.call_outcome import error_headers
from imagegateway.router.image_operations import HoldPolicy, ImageOperations
from imagegateway.router.job_operations import JobOperations

from tests.jobs import records
from tests.router.budgets import NoBudgets

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

JOB = Entry(1, records.job())
CALL = call_context.begin("Generate", {}, rest=True)
PLAN: Any = SimpleNamespace(inline=True)


class Submitted:
    """Submission that returns a written job."""

    async def submit(self, *_: object) -> Entry:
        return JOB


async def never(*_: object) -> Entry | None:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def silent(*_: object) -> Entry | None:
    raise OutcomeUnknownError


def operations(watcher: Any, readiness: Readiness) -> ImageOperations:
    unused: Any = None
    submission: Any = Submitted()
    return ImageOperations(
        submission=submission,
        budgets=NoBudgets(),
        lookup=unused,
        watcher=watcher,
        positions=unused,
        readiness=readiness,
        responses=unused,
        hold=HoldPolicy(600, hold_for_sdks=False),
    )


def check(error: GatewayError) -> None:
    assert (error.meaning.http, error.code) == (503, "service_unavailable")
    assert JOB.record.id in error.message
    assert error_headers(CALL, error)["x-should-retry"] == "false"


async def test_call_fails_when_a_part_stays_unavailable() -> None:
    now = 0.0

    async def fail() -> None:
        raise UnavailableError("the media store has no room")

    readiness = Readiness({"media-store": fail}, lambda: now)
    running = asyncio.create_task(operations(SimpleNamespace(ended=never), readiness).run(PLAN, CALL))
    await readiness.refresh()
    await asyncio.sleep(0)
    assert not running.done()
    now += PERIOD + OUTAGE_SECONDS
    await readiness.refresh()
    with pytest.raises(GatewayError, match="the media store has no room") as caught:
        await running
    check(caught.value)


async def in_trouble() -> Readiness:
    now = 0.0

    async def fail() -> None:
        raise UnavailableError("the job store has no room")

    readiness = Readiness({"job-store": fail}, lambda: now)
    await readiness.refresh()
    now += PERIOD + OUTAGE_SECONDS
    await readiness.refresh()
    return readiness


async def cancel(change: Callable[[], Awaitable[Entry]], readiness: Readiness) -> Entry:
    """Cancel a job, with `change` as the engine's transition."""
    unused: Any = None

    async def engine_cancel(_entry: Entry) -> Entry:
        return await change()

    async def get(*_: object) -> Entry:
        return JOB

    lookup: Any = SimpleNamespace(get=get)
    canceller: Any = SimpleNamespace(cancel=engine_cancel)
    jobs = JobOperations(
        lookup=lookup,
        watcher=unused,
        canceller=canceller,
        eraser=unused,
        positions=unused,
        redeliverer=unused,
        readiness=readiness,
        responses=unused,
    )
    return await jobs.cancel(JOB.record.id, CALL)


async def test_cancel_fails_when_it_can_not_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_operations, "OUTAGE_SECONDS", 0.0)

    async def change() -> Entry:
        await never()
        return JOB

    with pytest.raises(UnavailableError, match="the job store has no room"):
        await cancel(change, await in_trouble())


async def test_written_cancel_succeeds_while_a_part_is_unavailable() -> None:
    async def change() -> Entry:
        await asyncio.sleep(0)
        return JOB

    assert await cancel(change, await in_trouble()) is JOB


async def test_cancel_without_an_answer_of_the_store_is_503() -> None:
    async def change() -> Entry:
        raise OutcomeUnknownError

    with pytest.raises(GatewayError) as caught:
        await cancel(change, Readiness({}))
    assert (caught.value.meaning.http, caught.value.retry_after) == (503, 2)


async def test_silent_job_store_during_a_call_forbids_a_repeat() -> None:
    with pytest.raises(GatewayError, match="the job store does not answer") as caught:
        await operations(SimpleNamespace(ended=silent), Readiness({})).run(PLAN, CALL)
    check(caught.value)
