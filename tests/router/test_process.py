"""Router process: exits with the reason when a component dies, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs.engine import JobEngine
from imagegateway.jobs.stream import JobStream
from imagegateway.platform import settings as settings_module
from imagegateway.platform.process import Process
from imagegateway.platform.supervision import BackgroundTaskError
from imagegateway.router import __main__ as router

from tests.jobs.server import settings_for, until

if TYPE_CHECKING:
    from imagegateway.jobs.stream_messages import Message
    from imagegateway.platform.settings import Settings
    from nats.aio.client import Client

    from tests.jobs.server import Nats


@pytest.fixture
def settings(nats: Nats, monkeypatch: pytest.MonkeyPatch) -> Settings:
    found = settings_for(nats.settings.data_dir, NATS_URL=nats.settings.nats_address())
    monkeypatch.setattr(settings_module, "current", lambda: found)
    return found


async def test_router_whose_feed_dies_ends_with_the_reason(
    settings: Settings, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process("router-0")
    serving = asyncio.create_task(router.main(process, 0))
    await until(settings.socket("router-0").exists)

    def broken(_stream: JobStream, _message: Message) -> None:
        raise ZeroDivisionError("a bug of the gateway")

    monkeypatch.setattr(JobStream, "_entry", broken)
    await client.jetstream().publish("j.any.local.queued", b"")
    with pytest.raises(BackgroundTaskError, match=r"job feed: .*a bug of the gateway"):
        await serving
    assert "job feed" in await process.not_ready()
    assert not settings.socket("router-0").exists()
    assert not settings.socket("uploads-0").exists()
    assert {task.get_name() for task in asyncio.all_tasks()} & {"job feed", "readiness", "webhooks"} == set()


@pytest.mark.usefixtures("settings")
async def test_router_that_can_not_start_leaves_no_connection_and_no_task(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = asyncio.all_tasks()

    async def fail(_engine: JobEngine) -> None:
        raise RuntimeError("the job stream has lost records")

    monkeypatch.setattr(JobEngine, "start", fail)
    with pytest.raises(RuntimeError, match="lost records"):
        await router.main(Process("router-0"), 0)
    await asyncio.sleep(0)
    assert {task for task in asyncio.all_tasks() if not task.done()} <= before
    assert client.is_connected
