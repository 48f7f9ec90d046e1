"""A web server that takes webhooks."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self


@dataclass(frozen=True, slots=True)
class Delivery:
    """One received request; header names are in lower case."""

    headers: dict[str, str]
    body: bytes


class Receiver:
    """Responds with the statuses of `status` after `hold` is set. The first `silent` requests get no response."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.status: Iterator[int] = itertools.repeat(200)
        self.hold: asyncio.Event | None = None
        self.silent = 0
        self.port = 0
        self._over = asyncio.Event()
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    @property
    def host(self) -> str:
        """Entry for `allow_hosts`."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/hook"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self.hold:
            self.hold.set()
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.deliveries.append(Delivery({name.lower(): value for name, value in request.headers.items()}, body))
        if len(self.deliveries) <= self.silent:
            await self._over.wait()
        if self.hold:
            await self.hold.wait()
        return web.Response(status=next(self.status))
