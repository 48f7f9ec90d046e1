"""Health checks: liveness and readiness of the gateway."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import grpc
from aiohttp import web
from grpc_health.v1 import health_pb2
from imagegateway.platform.addresses import resolve
from imagegateway.platform.channels import open_channel
from imagegateway.platform.internal_tls import PeerRoleError, Role
from imagegateway.platform.readiness import Readiness
from imagegateway.platform.side_server import health_response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imagegateway.media.store import MediaStore
    from imagegateway.platform.addresses import Address
    from imagegateway.platform.internal_tls import InternalTls
    from imagegateway.platform.process import Process

_DEADLINE: Final = 2.0
_STORE: Final = "media-store"


class Health:
    """Handlers of the public `/healthz` and `/readyz`. `routers` maps names to addresses of replicas, one of
    which must serve.
    """

    def __init__(
        self, store: MediaStore, routers: Mapping[str, Sequence[Address]], process: Process, tls: InternalTls | None
    ) -> None:
        self._readiness = Readiness({_STORE: store.check})
        self._routers = routers
        self._tls = tls
        self._process = process
        process.add_check(_STORE, self._store_serves)

    async def live(self, _request: web.Request) -> web.Response:
        """Respond with 200."""
        return web.json_response({"status": "ok"}, headers={"Cache-Control": "no-store"})

    async def ready(self, _request: web.Request) -> web.Response:
        """Respond with 200, or 503 with the names of the parts that are not ready."""
        own = await self._process.not_ready()
        serving = await asyncio.gather(*map(self._serves, self._routers.values()))
        routers = [name for name, serves in zip(self._routers, serving, strict=True) if not serves]
        return health_response([*own, *routers])

    async def _store_serves(self) -> bool:
        await self._readiness.refresh()
        return not self._readiness.problems

    async def _serves(self, addresses: Sequence[Address]) -> bool:
        """Return whether a router serves at one of the addresses."""
        try:
            replicas = [each for address in addresses for each in await resolve(address)]
        except OSError:
            return False
        return any(await asyncio.gather(*(_is_serving(replica, self._tls) for replica in replicas)))


async def _is_serving(address: Address, tls: InternalTls | None) -> bool:
    # A channel for each probe: after a router's restart, a kept channel waits for the end of its backoff.
    try:
        opened = await open_channel(address, tls, Role.ROUTER)
    except (OSError, PeerRoleError):
        return False
    async with opened as channel:
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
