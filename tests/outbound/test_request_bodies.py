"""Bodies of outbound calls: JSON, form fields and files, as a server reads them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from imagegateway.outbound.client import Outbound
from imagegateway.outbound.url_guard import UrlGuard

from tests.outbound.origin import serve


def _part(value: object) -> object:
    """Return a form's text, or a file as its name, bytes and type."""
    if isinstance(value, web.FileField):
        return value.filename, value.file.read(), value.content_type
    return value


async def received(**options: Any) -> dict[str, Any]:
    """Make a call, and return what the server read."""
    seen: dict[str, Any] = {}

    async def keep(request: web.Request) -> web.Response:
        seen.update(method=request.method, type=request.content_type, query=dict(request.query))
        seen["secret"] = request.headers.get("x-secret")
        if request.content_type == "application/json":
            seen["json"] = await request.json()
        elif request.content_type in {"multipart/form-data", "application/x-www-form-urlencoded"}:
            seen["form"] = [(name, _part(value)) for name, value in (await request.post()).items()]
        else:
            seen["body"] = await request.read()
        return web.Response(status=201)

    async with serve(keep) as origin, Outbound(UrlGuard(())) as outbound:
        options = {"headers": {"x-secret": "s"}, "max_bytes": 100, "seconds": 30, **options}
        async with outbound.call(options.pop("method", "POST"), origin.url(), **options) as response:
            assert response.status == 201
    return seen


async def test_json_has_its_content_type_and_headers_are_sent() -> None:
    seen = await received(json={"prompt": "ein Füchslein"})
    assert seen == {
        "method": "POST",
        "type": "application/json",
        "query": {},
        "secret": "s",
        "json": {"prompt": "ein Füchslein"},
    }


async def test_content_type_of_the_caller_precedes() -> None:
    assert (await received(json={}, headers={"content-type": "text/plain"}))["type"] == "text/plain"


async def test_fields_alone_are_a_url_encoded_form() -> None:
    seen = await received(fields=[("prompt", "a & b"), ("n", "1")])
    assert seen["type"] == "application/x-www-form-urlencoded"
    assert seen["form"] == [("prompt", "a & b"), ("n", "1")]


@pytest.mark.parametrize("files", [[], [("image", ("a.png", b"\x89PNG", "image/png"))]])
async def test_multipart_has_fields_before_files(files: list[Any]) -> None:
    seen = await received(fields=[("image", "first"), ("n", "1")], files=files, multipart=not files)
    assert seen["type"] == "multipart/form-data"
    assert seen["form"] == [("image", "first"), ("n", "1"), *files]


async def test_query_is_encoded_and_a_call_without_a_body_has_none() -> None:
    seen = await received(method="GET", query={"task": "a/b c"})
    assert (seen["method"], seen["query"], seen["body"]) == ("GET", {"task": "a/b c"}, b"")


async def client_tasks(prompt: str) -> list[str]:
    """Make a call with this prompt on an open connection, and return the names of the client's tasks for it."""
    created: list[str] = []

    def note(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        if coro.__qualname__.startswith("ClientRequest"):  # the server runs in the same loop
            created.append(coro.__name__)
        return asyncio.Task(coro, loop=loop, **options)

    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=(await request.json())["prompt"])

    async with serve(echo) as origin, Outbound(UrlGuard(())) as outbound:
        for prompts in ("connects", prompt):
            asyncio.get_running_loop().set_task_factory(note if prompts == prompt else None)
            try:
                async with outbound.call(
                    "POST", origin.url(), headers={}, json={"prompt": prompts}, max_bytes=100_000, seconds=30
                ) as response:
                    assert await response.read() == prompts.encode()
            finally:
                asyncio.get_running_loop().set_task_factory(None)
    return created


async def test_small_body_is_written_without_a_task() -> None:
    assert await client_tasks("p" * 32_000) == []
