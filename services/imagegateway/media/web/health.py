"""Health checks: liveness and readiness of the gateway."""

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
        """Respond with 200."""
        return _response(200, {"status": "ok"})

    async def ready(self, _request: web.Request) -> web.Response:
        """Respond with 200, or 503 with the names of the parts that are not ready."""
        _, *serving = await asyncio.gather(self._readiness.refresh(), *map(_is_serving, self._routers.values()))
        routers = [name for name, serves in zip(self._routers, serving, strict=True) if not serves]
        not_ready = [*self._readiness.problems, *routers]
        if not_ready:
            return _response(503, {"status": "not_ready", "not_ready": not_ready})
        return _response(200, {"status": "ready"})


async def _is_serving(socket: Path) -> bool:
    # A channel for each probe: after a router's restart, a kept channel waits for the end of its backoff.
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            status = await check(health_pb2.HealthCheckRequest(), timeout=_DEADLINE)
        except grpc.aio.AioRpcError:
            return False
    return bool(status.status == health_pb2.HealthCheckResponse.SERVING)


def _response(status: int, body: dict[str, str | list[str]]) -> web.Response:
    return web.json_response(body, status=status, headers={"Cache-Control": "no-store"})
