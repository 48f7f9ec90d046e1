"""Health of the whole stack: by its processes' side servers, on the port for metrics."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from imagegateway.platform.http_server import listening
from imagegateway.platform.listener import Listener
from imagegateway.platform.process import Process
from imagegateway.stack import status_server
from imagegateway.stack.status_server import Response, StackHealth

from tests.jobs.server import settings_for
from tests.support.stack import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from imagegateway.platform.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path, ROUTERS="2", METRICS_PORT=str(free_port()))


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{settings.metrics_port}") as session:
        yield session


async def get(client: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    async with client.get(path) as answer:
        return answer.status, await answer.json()


def envoy(state: str, status: int) -> web.Application:
    """Return Envoy's administration, as far as health reads it."""

    async def ready(_request: web.Request) -> web.Response:
        return web.Response(text=f"{state}\n", status=status)

    app = web.Application()
    app.router.add_get("/ready", ready)
    return app


async def test_stack_is_ready_when_each_process_is(settings: Settings, client: aiohttp.ClientSession) -> None:
    health = StackHealth(settings)
    processes = {name: Process(name, 3600) for name in ("providers", "media", "router-0", "router-1")}
    async with AsyncExitStack() as held:
        await held.enter_async_context(
            status_server.serving(settings, {"/healthz": health.live, "/readyz": health.ready})
        )
        assert await get(client, "/healthz") == (200, {"status": "ok"})
        absent = [f"{name}: does not answer" for name in (*processes, "envoy")]
        assert await get(client, "/readyz") == (503, {"status": "not_ready", "not_ready": ["starting", *absent]})

        health.phase = "ready"
        for name, process in processes.items():
            await held.enter_async_context(listening(process.side, Listener.unix(settings.socket(f"{name}-side")), 0))
            process.start_complete()
        path = settings.socket("envoy-admin")
        async with listening(envoy("DRAINING", 503), Listener.unix(path), 0):
            processes["router-1"].request_stop()
            wanted = ["router-1: lame_duck", "envoy: draining"]
            assert await get(client, "/readyz") == (503, {"status": "not_ready", "not_ready": wanted})
        processes["router-1"] = Process("router-1")
        processes["router-1"].start_complete()
        async with (
            listening(processes["router-1"].side, Listener.unix(settings.socket("router-1-side")), 0),
            listening(envoy("LIVE", 200), Listener.unix(path), 0),
        ):
            assert await get(client, "/readyz") == (200, {"status": "ready"})


async def test_further_routes_are_served_and_unknown_ones_refused(
    settings: Settings, client: aiohttp.ClientSession
) -> None:
    async def metrics() -> Response:
        return Response(200, b"up 1\n", "text/plain; version=1.0.0")

    async with status_server.serving(settings, {"/metrics": metrics}):
        async with client.get("/metrics?name=up") as answer:
            assert (answer.status, await answer.text()) == (200, "up 1\n")
            assert answer.headers["content-type"] == "text/plain; version=1.0.0"
        async with client.head("/metrics") as answer:
            assert (answer.status, await answer.text()) == (200, "")
            assert answer.headers["content-length"] == "5"
        async with client.head("/other") as answer:
            assert (answer.status, await answer.text()) == (404, "")
        async with client.post("/metrics") as answer:
            assert answer.status == 405
        async with client.get("/other") as answer:
            assert answer.status == 404


async def test_broken_requests_end_with_their_connection(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_server, "_REQUEST_SECONDS", 0.05)
    async with status_server.serving(settings, {}):
        for data in (b"", b"GET", b"\r\n\r\n", b"x" * 40_000):
            reader, writer = await asyncio.open_connection("127.0.0.1", settings.metrics_port)
            writer.write(data)
            async with asyncio.timeout(10):
                answer = await reader.read()
            assert not answer or answer.startswith(b"HTTP/1.1 404"), data
            writer.close()


async def test_port_that_became_busy_stops_nothing(settings: Settings) -> None:
    async with status_server.serving(settings, {}), status_server.serving(settings, {}):
        pass
