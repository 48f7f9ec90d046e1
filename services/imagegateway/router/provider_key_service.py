"""ProviderKeyService: provider keys that a tenant stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.platform.errors import invalid
from imagegateway.router import call_context
from imagegateway.v1 import provider_key_service_pb2 as pb
from imagegateway.v1 import provider_key_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagegateway.keys.provider_keys import ProviderKey, ProviderKeys
    from imagegateway.platform.grpc_server import Context

NAME = pb.DESCRIPTOR.services_by_name["ProviderKeyService"].full_name


class ProviderKeyService(pb_grpc.ProviderKeyServiceServicer):
    """Service of the tenant's provider keys. `routes`: names of the routes that take a key."""

    def __init__(self, *, keys: ProviderKeys, routes: Sequence[str]) -> None:
        self._keys = keys
        self._routes = routes

    async def SetProviderKey(self, request: pb.SetProviderKeyRequest, context: Context) -> pb.ProviderKey:
        route = self._checked_route(request.route)
        stored = await self._keys.set(call_context.current().tenant, route, request.key)
        await self._keys.refresh()
        return _public(stored)

    async def ListProviderKeys(
        self, request: pb.ListProviderKeysRequest, context: Context
    ) -> pb.ListProviderKeysResponse:
        stored = await self._keys.list(call_context.current().tenant, self._routes)
        return pb.ListProviderKeysResponse(object="list", data=map(_public, stored))

    async def DeleteProviderKey(
        self, request: pb.DeleteProviderKeyRequest, context: Context
    ) -> pb.DeleteProviderKeyResponse:
        route = self._checked_route(request.route)
        deleted = await self._keys.delete(call_context.current().tenant, route)
        await self._keys.refresh()
        return pb.DeleteProviderKeyResponse(object="provider_key", route=route, deleted=deleted)

    def _checked_route(self, route: str) -> str:
        """Return a route that takes a key. Raises GatewayError naming the routes that do."""
        if route not in self._routes:
            raise invalid(
                "route", f"There is no route {route[:40]!r} that takes a key; {', '.join(self._routes)} do."
            )
        call_context.current().log["provider"] = route
        return route


def _public(stored: ProviderKey) -> pb.ProviderKey:
    return pb.ProviderKey(
        object="provider_key", route=stored.route, created_at=stored.created_at, last_four=stored.last_four or None
    )
