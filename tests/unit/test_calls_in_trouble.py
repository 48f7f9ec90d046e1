"""Calls whose job is under way while a part of the gateway is away: the job's id, and no repeat that would pay."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from imagegateway.jobs.stream import Entry
from imagegateway.jobs.stream_errors import OutcomeUnknownError
from imagegateway.platform.errors import GatewayError, UnavailableError
from imagegateway.platform.readiness import LASTING_SECONDS, PERIOD, Readiness
from imagegateway.router import call_context
from imagegateway.router.interceptor import error_headers
from imagegateway.router.operations import Studio

from tests.jobs import records

JOB = Entry(1, records.job())
CALL = call_context.begin("Generate", {}, rest=True)
MADE: Any = SimpleNamespace(inline=True)


class Submitted(Studio):
    """Operations whose job is written already."""

    async def submit(self, *_: object) -> Entry:
        return JOB


async def never(*_: object) -> Entry | None:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def silent(*_: object) -> Entry | None:
    raise OutcomeUnknownError


def operations(feed: Any, readiness: Readiness) -> Studio:
    unused: Any = None
    settings: Any = SimpleNamespace(inline_wait=600, sdk_hold=False)
    engine: Any = SimpleNamespace(feed=feed, readiness=readiness)
    return Submitted(settings, unused, unused, unused, engine, unused, unused, unused)


def check(error: GatewayError) -> None:
    assert (error.meaning.http, error.code) == (503, "service_unavailable")
    assert JOB.record.id in error.message
    assert error_headers(CALL, error)["x-should-retry"] == "false"


async def test_call_is_answered_when_a_part_stays_away() -> None:
    now = 0.0

    async def fail() -> None:
        raise UnavailableError("the media store has no room")

    readiness = Readiness({"media-store": fail}, lambda: now)
    running = asyncio.create_task(operations(SimpleNamespace(ended=never), readiness).run(MADE, CALL))
    await readiness.refresh()
    await asyncio.sleep(0)
    assert not running.done()
    now += PERIOD + LASTING_SECONDS
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
    now += PERIOD + LASTING_SECONDS
    await readiness.refresh()
    return readiness


async def test_change_of_a_job_is_answered_when_it_can_not_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagegateway.router.operations.LASTING_SECONDS", 0.0)

    async def change() -> Entry:
        await never()
        return JOB

    with pytest.raises(UnavailableError, match="the job store has no room"):
        await operations(SimpleNamespace(), await in_trouble()).kept(change())


async def test_change_of_a_job_that_can_be_kept_is_kept_in_trouble_too() -> None:
    async def change() -> Entry:
        await asyncio.sleep(0)
        return JOB

    assert await operations(SimpleNamespace(), await in_trouble()).kept(change()) is JOB


async def test_change_of_a_job_that_the_store_leaves_unanswered_is_a_503() -> None:
    async def change() -> Entry:
        raise OutcomeUnknownError

    with pytest.raises(GatewayError) as caught:
        await operations(SimpleNamespace(), Readiness({})).kept(change())
    assert (caught.value.meaning.http, caught.value.retry_after) == (503, 2)


async def test_job_store_that_falls_silent_under_a_call_forbids_a_repeat() -> None:
    with pytest.raises(GatewayError, match="the job store does not answer") as caught:
        await operations(SimpleNamespace(ended=silent), Readiness({})).run(MADE, CALL)
    check(caught.value)
