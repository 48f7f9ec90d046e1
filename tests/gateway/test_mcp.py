"""MCP through Envoy and over pipes, by the SDK's own client: both protocol eras, keys, progress, cancellation."""

from __future__ import annotations

import asyncio
import base64
import io
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

from tests.gateway.rest import ask, assert_error
from tests.gateway.test_auth import WITHIN
from tests.support import command
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from typing import Literal

    from mcp_types import CallToolResult

    from tests.support.stack import Stack

SKETCH = {"model": "local/sketch", "prompt": "a red kite over hills", "size": "64x64"}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
ACCEPT = {"accept": "application/json, text/event-stream"}


@asynccontextmanager
async def connected(stack: Stack, mode: Literal["auto", "legacy"] = "auto") -> AsyncIterator[Client]:
    """Yield a client of the stack's `/mcp`, of the newest protocol or of one with a handshake."""
    headers = {"authorization": f"Bearer {stack.key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(f"{stack.url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


def size_of(result: CallToolResult) -> tuple[int, int]:
    """Return the size of a result's only inline image."""
    (image,) = (block for block in result.content if block.type == "image")
    return Image.open(io.BytesIO(base64.b64decode(image.data))).size


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_image_is_generated_then_edited_by_its_job_id(stack: Stack, mode: Literal["auto", "legacy"]) -> None:
    reported: list[str | None] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        reported.append(message)

    async with connected(stack, mode) as client:
        made = await client.call_tool("generate_image", SKETCH, progress_callback=on_progress)
        job_id = made.structured_content["job_id"]
        edited = await client.call_tool("edit_image", {**SKETCH, "images": [job_id], "prompt": "in winter"})
    assert not made.is_error
    assert size_of(made) == (64, 64)
    assert reported[-1] == f"{job_id} is completed"
    assert not edited.is_error, edited.content
    assert size_of(edited) == (64, 64)


async def test_slow_job_is_waited_for_followed_and_cancelled(stack: Stack) -> None:
    slow = {**SKETCH, "provider_options": {"delay": 60}, "wait_seconds": 0.2}
    async with connected(stack) as client:
        begun = await client.call_tool("generate_image", slow)
        job = {"job_id": begun.structured_content["job_id"]}
        running = await client.call_tool("get_job", job)
        cancelled = await client.call_tool("cancel_job", job)
        ended = await client.call_tool("wait_for_job", job)
    assert running.structured_content["status"] == "running"
    assert "wait_for_job" in begun.structured_content["next_step"]
    assert cancelled.structured_content["status"] == "cancelled"
    assert ended.is_error


async def test_repeated_call_with_an_idempotency_key_is_the_same_job(stack: Stack) -> None:
    given = {**SKETCH, "idempotency_key": "mcp-twice"}
    async with connected(stack) as client:
        first, second = [await client.call_tool("generate_image", given) for _ in range(2)]
    assert first.structured_content["job_id"] == second.structured_content["job_id"]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_client_that_goes_away_ends_the_wait_and_not_the_job(
    stack: Stack, mode: Literal["auto", "legacy"]
) -> None:
    begun = asyncio.Event()
    reported: list[str] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        reported.append(message or "")
        begun.set()

    slow: dict[str, Any] = {**SKETCH, "provider_options": {"delay": 60}}
    async with connected(stack, mode) as client:
        call = asyncio.create_task(client.call_tool("generate_image", slow, progress_callback=on_progress))
        async with asyncio.timeout(30):
            await begun.wait()
        call.cancel()
        await asyncio.wait([call])
        job = {"job_id": reported[0].split()[0]}
        state = await client.call_tool("get_job", job)
        await client.call_tool("cancel_job", job)
    assert state.structured_content["status"] in {"queued", "running"}


async def test_error_names_the_field(stack: Stack) -> None:
    async with connected(stack) as client:
        refused = await client.call_tool("generate_image", {**SKETCH, "model": "local/nothing"})
    assert refused.is_error
    assert refused.content[0].type == "text"
    assert refused.content[0].text.startswith("There is no model 'local/nothing'.")


@pytest.mark.parametrize("path", ["/mcp", "/mcp/", "/mcp?x=1"])
@pytest.mark.parametrize("key", ["", "igw_wrong"])
def test_call_without_a_valid_key_is_401(stack: Stack, path: str, key: str) -> None:
    assert_error(ask(stack, "POST", path, LIST, ACCEPT, key=key), 401, "invalid_api_key", kind="authentication_error")


def test_revoked_key_is_401(stack: Stack) -> None:
    made = ask(stack, "POST", "/v1/admin/keys", {"tenant": "mcp", "name": "for one test"}).json()
    assert ask(stack, "POST", "/mcp", LIST, ACCEPT, key=made["key"]).status == 200
    ask(stack, "DELETE", f"/v1/admin/keys/{made['id']}")
    refused = partial(ask, stack, "POST", "/mcp", LIST, ACCEPT, key=made["key"])
    eventually(lambda: all(refused().status == 401 for _ in range(8)), WITHIN, "every router refuses the revoked key")
    assert_error(refused(), 401, "invalid_api_key", kind="authentication_error")


def test_key_without_the_scope_lists_tools_and_makes_no_image(stack: Stack) -> None:
    key = ask(stack, "POST", "/v1/admin/keys", {"tenant": "mcp", "name": "reader", "scopes": ["read"]}).json()["key"]
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "generate_image", "arguments": SKETCH},
    }
    answer = ask(stack, "POST", "/mcp", call, ACCEPT, key=key)
    assert answer.status == 200
    assert b"The API key lacks the scope" in answer.body


def test_other_methods_are_405(stack: Stack) -> None:
    for method in ("GET", "DELETE"):
        answer = ask(stack, method, "/mcp", headers=ACCEPT)
        assert answer.status == 405
        assert answer.headers["allow"] == "POST"


def test_page_of_another_origin_is_403(stack: Stack) -> None:
    answer = ask(stack, "POST", "/mcp", LIST, {**ACCEPT, "origin": "https://evil.example"})
    assert answer.status == 403


async def test_agent_over_pipes_edits_a_file_of_its_machine(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "in.png"
    Image.new("RGB", (64, 64), "red").save(path)
    environment = command.environment(url=stack.url, key=stack.key)
    async with Client(StdioServerParameters(command=str(command.PROGRAM), args=["mcp"], env=environment)) as client:
        edited = await client.call_tool("edit_image", {**SKETCH, "images": [str(path)]})
    assert not edited.is_error, edited.content
    assert size_of(edited) == (64, 64)
