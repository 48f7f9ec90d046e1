"""The public API in this process, with scripted jobs, behind the client of MCP's tools."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx  # noqa: TID251  the fake answers the client of the gateway
from imagegateway.mcp import server
from imagegateway.mcp.api import GatewayApi
from mcp import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from imagegateway.mcp.content import Preview

KEY: Final = "key-of-the-tests"
JOB: Final = "job_01m8ka03h3henzbpvjnz92b1xc"
PNG: Final = b"\x89PNG\r\n\x1a\n and pixels"
_DROPPED: Final = "drop"


def job(status: str = "completed", **fields: Any) -> dict[str, Any]:
    """Return a job as the API writes it. A completed one has one image, unless `result` says otherwise."""
    document: dict[str, Any] = {"id": JOB, "object": "job", "status": status, "model": "local/sketch"}
    if status == "completed":
        document["result"] = {"data": [image()]}
    return document | fields


def image(index: int = 0, media_type: str = "image/png") -> dict[str, Any]:
    """Return an image of a job."""
    name = f"{index}.{media_type.partition('/')[2].partition('+')[0]}"
    url = f"http://gateway.example/media/2026-12-07/abc/{name}?exp=1&sig=s"
    return {"url": url, "media_type": media_type, "width": 64, "height": 32}


class _Events(httpx.AsyncByteStream):
    """Stream of events that ends, breaks off or stays open after the last one."""

    def __init__(self, events: Sequence[dict[str, Any] | str], *, open_end: bool) -> None:
        self._events = events
        self._open_end = open_end
        self.closed = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self._events:
            if event == _DROPPED:
                raise httpx.ReadError("broken")
            yield f"id: 1\nevent: job.running\ndata: {json.dumps(event)}\n\n".encode()
        if self._open_end:
            await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.closed.set()


@dataclass
class FakeGateway:
    """Script of the answers, and a record of the requests."""

    streams: list[list[dict[str, Any] | str]] = field(default_factory=lambda: [[job("running"), job()]])
    """Events of each subscription, in order. `drop` breaks the connection off."""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=lambda: {"0.png": PNG})
    models: list[dict[str, Any]] = field(default_factory=list)
    refusal: tuple[int, Any] | None = None
    """Status and body of every response."""
    refusals: int = 1_000_000
    """Responses with the refusal, before others."""
    unreachable: int = 0
    """Requests that get no response before the first one that does."""
    endless: bool = False
    """Streams stay open after their last event."""
    requests: list[httpx.Request] = field(default_factory=list)
    streaming: list[_Events] = field(default_factory=list)
    holds_files: asyncio.Event | None = None
    """Responses with files wait for this event."""
    downloads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """Released by each request for a file."""
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first subscription to events."""

    @property
    def paths(self) -> list[str]:
        return [f"{request.method} {request.url.path}" for request in self.requests]

    def bodies(self) -> list[dict[str, Any]]:
        """Return the JSON of the requests that have a body."""
        return [json.loads(request.content) for request in self.requests if request.content]

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Return the response to a request."""
        self.requests.append(request)
        if self.unreachable:
            self.unreachable -= 1
            raise httpx.ConnectError("refused")
        if self.refusal and self.refusals:
            self.refusals -= 1
            return httpx.Response(self.refusal[0], json=self.refusal[1])
        path = request.url.path
        if path == "/v1/models":
            return httpx.Response(200, json={"data": self.models})
        if path.endswith("/events"):
            events = _Events(self.streams.pop(0), open_end=self.endless)
            self.streaming.append(events)
            self.subscribed.set()
            return httpx.Response(200, stream=events)
        if path.startswith("/v1/files/"):
            self.downloads.release()
            if self.holds_files:
                await self.holds_files.wait()
            content = self.files.get(path.rpartition("/")[2])
            return (
                httpx.Response(404, json=error("gone")) if content is None else httpx.Response(200, content=content)
            )
        if path.startswith("/v1/jobs/"):
            return httpx.Response(200, json=self.jobs[path.split("/")[3]])
        return httpx.Response(202, json=job("queued"))


def error(message: str, param: str | None = None) -> dict[str, Any]:
    """Return an error body of the API."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": "invalid_value"}}


async def no_preview(_data: bytes, _max_bytes: int) -> bytes | None:
    """Return None, as for an image that can't be decoded."""
    return None


@asynccontextmanager
async def connected(
    gateway: FakeGateway,
    *,
    preview: Preview = no_preview,
    files: bool = False,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Client]:
    """Yield the SDK's client, connected to a server of the tools over that gateway."""
    transport = httpx.MockTransport(gateway.answer)
    async with httpx.AsyncClient(base_url="http://gateway.example", transport=transport) as http:
        api = GatewayApi(http, headers or {"authorization": f"Bearer {KEY}"})
        async with Client(server.build(lambda _headers: api, preview, files=files)) as client:
            yield client
