"""The wait of a tool call for its job: progress, bounds, lost connections, cancellation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from imagegateway.mcp import waiting

from tests.mcp.fake_gateway import JOB, FakeGateway, connected, job

if TYPE_CHECKING:
    from mcp_types import CallToolResult


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_RECONNECT_SECONDS", 0.0)


async def test_progress_grows_and_says_job_queue_position_and_percent() -> None:
    states = [
        job("queued", queue_position=2),
        job("queued", queue_position=2),
        job("queued", queue_position=1),
        job("running"),
        job("running", progress=40),
        job("running", progress=40),
        job(),
    ]
    reported: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        reported.append((progress, total, message))

    async with connected(FakeGateway(streams=[[*states]])) as client:
        await client.call_tool("generate_image", {"prompt": "a kite"}, progress_callback=on_progress)
    assert [message for _, _, message in reported] == [
        f"{JOB} is queued, 2 jobs ahead",
        f"{JOB} is queued, 1 job ahead",
        f"{JOB} is running",
        f"{JOB} is running, 40 % done",
        f"{JOB} is completed",
    ]
    percents = [progress for progress, _, _ in reported]
    assert percents == sorted(set(percents))
    assert percents[-2:] == [40, 100]
    assert {total for _, total, _ in reported} == {100}


async def test_wait_ends_after_its_bound_with_the_job_and_the_way_on() -> None:
    gateway = FakeGateway(streams=[[job("running", progress=5)]], endless=True)
    async with connected(gateway) as client:
        result = await client.call_tool("generate_image", {"prompt": "a kite", "wait_seconds": 0.05})
    assert not result.is_error
    assert result.structured_content["status"] == "running"
    assert "wait_for_job" in result.structured_content["next_step"]
    assert gateway.streaming[0].closed.is_set()


async def test_no_wait_returns_the_job_at_once() -> None:
    gateway = FakeGateway(streams=[[]], endless=True, jobs={JOB: job("queued")})
    async with connected(gateway) as client:
        result = await client.call_tool("generate_image", {"prompt": "a kite", "wait_seconds": 0})
    assert result.structured_content["status"] == "queued"


async def test_lost_events_are_subscribed_again() -> None:
    gateway = FakeGateway(streams=[[job("running"), "drop"], [job("running")], [job()]])
    async with connected(gateway) as client:
        result = await client.call_tool("wait_for_job", {"job_id": JOB})
    assert result.structured_content["status"] == "completed"
    assert gateway.paths[:3] == [f"GET /v1/jobs/{JOB}/events"] * 3


async def test_cancelled_call_ends_the_wait_and_leaves_the_job_that_it_named() -> None:
    gateway = FakeGateway(streams=[[job("running")]], endless=True)
    reported: list[str | None] = []
    begun = asyncio.Event()

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        reported.append(message)
        begun.set()

    async with connected(gateway) as client:
        call: asyncio.Task[CallToolResult] = asyncio.create_task(
            client.call_tool("generate_image", {"prompt": "a kite"}, progress_callback=on_progress)
        )
        async with asyncio.timeout(10):
            await begun.wait()
            call.cancel()
            await gateway.streaming[0].closed.wait()
    assert reported == [f"{JOB} is running"]
    assert not [path for path in gateway.paths if path.endswith("/cancel")]
