"""Base class of the emulators: a real HTTP server on loopback that records its requests and its billed images."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import BodyPartReader, web
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart request."""

    name: str
    filename: str | None
    content_type: str
    data: bytes

    @property
    def text(self) -> str:
        return self.data.decode()


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as it arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    parts: tuple[Part, ...] = ()
    target: str = ""
    """Path and query as the client sent them."""
    at: float = field(default_factory=time.monotonic)
    """Time of arrival in seconds of the monotonic clock."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def part(self, name: str) -> Part:
        """Return the only part of this name."""
        (only,) = [part for part in self.parts if part.name == name]
        return only


HELD_SECONDS: Final = 60.0
"""Longest time that a call waits for the event `hold` of an emulator."""

SENT: Final = web.RequestKey("sent", Sent)
"""Key under which handlers find the request as it arrived: `request[SENT]`."""


@dataclass
class Emulator:
    """Base class of the emulators: `routes` adds the API, `sent` records requests, `billed` counts billed images.

    `failures` are responses in place of the next ones, in order: (status, body, headers). `spoiled` are such
    responses to POSTs whose work is done and billed. `under_way`: requests without a whole response.
    """

    key: str = "test-key"
    sent: list[Sent] = field(default_factory=list)
    billed: int = 0
    failures: list[tuple[int, Any, Mapping[str, str]]] = field(default_factory=list)
    spoiled: list[tuple[int, Any, Mapping[str, str]]] = field(default_factory=list)
    under_way: int = 0
    base: str = ""
    host: str = "127.0.0.1"
    _runner: web.AppRunner | None = None

    def routes(self, app: web.Application) -> None:
        """Add the provider's paths."""
        raise NotImplementedError

    async def start(self) -> None:
        """Listen on a port of `host` that the system chooses, and set `base` to the origin."""
        app = web.Application(client_max_size=256 * 1024 * 1024, middlewares=[self._count, self._keep])
        self.routes(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, 0)
        await site.start()
        self.base = f"http://{self.host}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @web.middleware
    async def _count(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.under_way += 1
        try:
            response: web.StreamResponse = await handler(request)
            return response
        finally:
            self.under_way -= 1

    @web.middleware
    async def _keep(self, request: web.Request, handler: Any) -> web.StreamResponse:
        parts: list[Part] = []
        body = b""
        if request.content_type == "multipart/form-data":
            reader = await request.multipart()
            while (part := await reader.next()) is not None:
                assert isinstance(part, BodyPartReader)
                data = bytes(await part.read(decode=False))
                parts.append(Part(part.name or "", part.filename, part.headers.get("content-type", ""), data))
        else:
            body = await request.read()
        request[SENT] = Sent(
            request.method, request.path, request.query, request.headers, body, tuple(parts), request.raw_path
        )
        self.sent.append(request[SENT])
        if self.failures:
            return _failure(*self.failures.pop(0))
        response: web.StreamResponse = await handler(request)
        if self.spoiled and request.method == "POST":
            return _failure(*self.spoiled.pop(0))
        return response


def _failure(status: int, answer: Any, headers: Mapping[str, str]) -> web.Response:
    if isinstance(answer, bytes):
        return web.Response(status=status, body=answer, headers=headers)
    return web.json_response(answer, status=status, headers=headers)


@cache
def image_bytes(
    width: int = 64, height: int = 64, format_: str = "PNG", colour: tuple[int, int, int] = (9, 99, 199)
) -> bytes:
    """Return an encoded image of one colour, with the least effort of the encoder."""
    out = BytesIO()
    Image.new("RGB", (width, height), colour).save(out, format_, compress_level=1, method=0)
    return out.getvalue()
