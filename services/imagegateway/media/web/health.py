"""Whether the gateway is up, and whether it can serve."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import grpc
from aiohttp import web
from grpc_health.v1 import health_pb2
from imagegateway.platform.readiness import Readiness

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imagegateway.media.store import MediaStore

_DEADLINE: Final = 2.0
_STORE: Final = "media-store"


class Health:
    """Handlers of `/healthz` and `/readyz`. `routers` maps names to UNIX sockets."""

    def __init__(self, store: MediaStore, routers: Mapping[str, Path]) -> None:
        self._readiness = Readiness({_STORE: store.check})
        self._routers = routers

    async def live(self, _request: web.Request) -> web.Response:
        """200 while the process answers at all."""
        return _answer(200, {"status": "ok"})

    async def ready(self, _request: web.Request) -> web.Response:
        """200, or 503 with the names of what is not ready."""
        _, *answers = await asyncio.gather(self._readiness.refresh(), *map(_serves, self._routers.values()))
        deaf = [name for name, serves in zip(self._routers, answers, strict=True) if not serves]
        missing = [*self._readiness.problems, *deaf]
        if missing:
            return _answer(503, {"status": "not_ready", "not_ready": missing})
        return _answer(200, {"status": "ready"})


async def _serves(socket: Path) -> bool:
    # A channel for each probe: one that is kept would wait out its back-off after the router's restart.
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=_DEADLINE)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _answer(status: int, body: dict[str, str | list[str]]) -> web.Response:
    return web.json_response(body, status=status, headers={"Cache-Control": "no-store"})
