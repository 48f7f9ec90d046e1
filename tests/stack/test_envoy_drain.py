"""Drain of an Envoy: readiness fails first, and running requests are waited for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from imagegateway.platform.http_server import listening
from imagegateway.platform.listener import Listener
from imagegateway.stack import envoy_drain

if TYPE_CHECKING:
    from pathlib import Path


class Administration:
    """Envoy's administration with running requests, one fewer at each look."""

    def __init__(self, active: int) -> None:
        self.active = active
        self.calls: list[str] = []

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/healthcheck/fail", self._fail)
        app.router.add_get("/stats", self._stats)
        return app

    async def _fail(self, request: web.Request) -> web.Response:
        self.calls.append(request.path)
        return web.Response(text="OK\n")

    async def _stats(self, request: web.Request) -> web.Response:
        self.calls.append(request.path_qs)
        text = f"http.admin.downstream_rq_active: 1\nhttp.public.downstream_rq_active: {self.active}\n"
        self.active -= 1
        return web.Response(text=text)


async def drain(administration: Administration, folder: Path, grace: float) -> tuple[list[float], int]:
    """Drain an Envoy. Return the pauses, and the requests left."""
    pauses: list[float] = []
    path = folder / "admin.sock"
    async with listening(administration.application(), Listener.unix(path), 0):
        left = await asyncio.to_thread(envoy_drain.drain, path, 5.0, grace, lambda: sum(pauses), pauses.append)
    return pauses, left


async def test_drain_fails_readiness_then_serves_then_waits_for_requests(tmp_path: Path) -> None:
    administration = Administration(active=2)
    assert await drain(administration, tmp_path, 30.0) == ([5.0, 0.2, 0.2], 0)
    assert administration.calls == ["/healthcheck/fail", *["/stats?filter=downstream_rq_active"] * 3]


async def test_drain_ends_after_its_grace_period(tmp_path: Path) -> None:
    assert await drain(Administration(active=99), tmp_path, 0.5) == ([5.0, 0.2, 0.2, 0.2], 96)


async def test_drain_of_an_absent_envoy_fails(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        envoy_drain.fail_readiness(tmp_path / "none.sock")
