"""`/mcp` in the media server, over a scripted API: checks before the SDK, room, disconnects, lazy imports."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx  # noqa: TID251  the fake answers the client of the gateway
import pytest
from aiohttp import web
from imagegateway.mcp import api, endpoint, limits
from imagegateway.mcp.endpoint import McpEndpoint
from imagegateway.media.web.responses import add_headers, outermost
from imagegateway.platform.http_server import listening
from imagegateway.platform.listener import Listener
from imagegateway.platform.setting_source import Source
from imagegateway.platform.settings import load

from tests.mcp.fake_gateway import JOB, FakeGateway, error, job, no_preview

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PUBLIC = "https://images.example"
URL = "http://localhost/mcp"
HEADERS = {
    "authorization": "Bearer key",
    "x-byok-bfl": "own key",
    "cookie": "a=b",
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
}


def message(method: str, **params: Any) -> dict[str, Any]:
    """Return a JSON-RPC request."""
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


GENERATE = message("tools/call", name="generate_image", arguments={"prompt": "a kite"})


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> FakeGateway:
    fake = FakeGateway()

    def client(_url: str, _socket: Path | None = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url="http://gateway.example", transport=httpx.MockTransport(fake.answer))

    monkeypatch.setattr(api, "client", client)
    monkeypatch.setattr(api, "_PAUSES", ())
    return fake


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Yield a client of a server with the endpoint."""
    settings = load(Source({"IMAGEGATEWAY_DATA_DIR": str(folder), "IMAGEGATEWAY_PUBLIC_URL": PUBLIC}))
    mcp = McpEndpoint(settings, lambda: no_preview)
    app = web.Application(middlewares=[outermost])
    app.on_response_prepare.append(add_headers)
    app.router.add_post(endpoint.PATH, mcp.serve)
    app.on_shutdown.append(mcp.close)
    path = settings.socket("media")
    async with (
        listening(app, Listener.unix(path), grace=1, cancel=True),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as client,
    ):
        yield client


async def ask(
    client: aiohttp.ClientSession, document: dict[str, Any], **headers: str
) -> tuple[aiohttp.ClientResponse, str]:
    async with client.post(URL, json=document, headers={**HEADERS, **headers}) as response:
        return response, await response.text()


async def test_tool_call_passes_the_credentials_on_and_nothing_else(tmp_path: Path, gateway: FakeGateway) -> None:
    async with served(tmp_path) as client:
        response, text = await ask(client, GENERATE)
    assert response.status == 200
    assert JOB in text
    for request in gateway.requests:
        assert request.headers["authorization"] == "Bearer key"
        assert request.headers["x-byok-bfl"] == "own key"
        assert "cookie" not in request.headers


@pytest.mark.parametrize("origin", ["", PUBLIC, "http://localhost:6274", "http://127.0.0.1:8080", "http://[::1]:1"])
async def test_own_and_local_origins_are_served(tmp_path: Path, gateway: FakeGateway, origin: str) -> None:
    async with served(tmp_path) as client:
        response, _ = await ask(client, message("tools/list"), **({"origin": origin} if origin else {}))
    assert response.status == 200


@pytest.mark.parametrize(
    "origin", ["http://images.example", "https://evil.example", "https://localhost.evil.example", "null", "http://["]
)
async def test_other_origin_is_403_before_anything(tmp_path: Path, gateway: FakeGateway, origin: str) -> None:
    async with served(tmp_path) as client:
        response, text = await ask(client, message("tools/list"), origin=origin)
    assert response.status == 403
    assert json.loads(text)["error"]["param"] == "origin"
    assert not gateway.requests


async def test_refusal_of_the_key_is_the_apis_own(tmp_path: Path, gateway: FakeGateway) -> None:
    gateway.refusal = (401, error("The API key is not valid."))
    async with served(tmp_path) as client:
        response, text = await ask(client, message("tools/list"))
    assert response.status == 401
    assert json.loads(text) == error("The API key is not valid.")


async def test_unreachable_api_is_503(tmp_path: Path, gateway: FakeGateway) -> None:
    gateway.unreachable = 9
    async with served(tmp_path) as client:
        response, text = await ask(client, message("tools/list"))
    assert response.status == 503
    assert response.headers["retry-after"]
    assert json.loads(text)["error"]["code"] == "service_unavailable"


async def test_body_over_the_limit_is_413(
    tmp_path: Path, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_BODY_BYTES", 100_000)
    async with served(tmp_path) as client:
        response, text = await ask(client, message("tools/list", padding="x" * 100_000))
    assert response.status == 413
    assert json.loads(text)["error"]["code"] == "request_too_large"


async def test_call_without_room_is_503_and_the_room_comes_back(
    tmp_path: Path, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "_ROOM_SECONDS", 0.05)
    monkeypatch.setattr(limits, "MAX_HELD_BYTES", 2 * limits.LEAST_HELD_BYTES)
    gateway.streams = [[job("running")], [job()]]
    gateway.endless = True
    async with served(tmp_path) as client:
        waiting = asyncio.create_task(ask(client, GENERATE))
        async with asyncio.timeout(20):
            await gateway.subscribed.wait()
            refused, text = await ask(client, message("tools/list"))
            other_key, _ = await ask(client, message("tools/list"), authorization="Bearer another")
            waiting.cancel()
            await gateway.streaming[0].closed.wait()
            served_again, _ = await ask(client, message("tools/list"))
    assert refused.status == 503
    assert json.loads(text)["error"]["code"] == "overloaded"
    assert other_key.status == served_again.status == 200


async def test_end_of_the_server_ends_a_wait(tmp_path: Path, gateway: FakeGateway) -> None:
    gateway.streams = [[job("running")]]
    gateway.endless = True
    async with asyncio.timeout(20):
        async with served(tmp_path) as client:
            waiting = asyncio.create_task(ask(client, GENERATE))
            await gateway.subscribed.wait()
        await gateway.streaming[0].closed.wait()
    waiting.cancel()


@pytest.mark.processes
def test_sdk_is_not_imported_before_the_first_call() -> None:
    heavy = {"mcp", "pydantic", "httpx", "PIL"}
    code = f"import sys, imagegateway.media.__main__; sys.exit(bool({heavy} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)
