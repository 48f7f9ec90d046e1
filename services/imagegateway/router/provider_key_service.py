"""ProviderKeyService: the tenant's own provider keys."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import nats.errors
from imagegateway.jobs.stream_errors import unavailable
from imagegateway.platform.errors import invalid
from imagegateway.router import call_context
from imagegateway.v1 import provider_key_service_pb2 as pb
from imagegateway.v1 import provider_key_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagegateway.keys.provider_keys import ProviderKey
    from imagegateway.platform.grpc_server import Context
    from imagegateway.router.operations import Studio

NAME = pb.DESCRIPTOR.services_by_name["ProviderKeyService"].full_name


class ProviderKeyService(pb_grpc.ProviderKeyServiceServicer):
    """A tenant reaches its own keys only."""

    def __init__(self, studio: Studio) -> None:
        self._keys = studio.provider_keys
        self._routes = studio.catalog.keyed

    async def SetProviderKey(self, request: pb.SetProviderKeyRequest, context: Context) -> pb.ProviderKey:
        route = self._known(request.route)
        with _asking():
            stored = await self._keys.set(call_context.current().tenant, route, request.key)
        await self._keys.refresh()
        return _shown(stored)

    async def ListProviderKeys(
        self, request: pb.ListProviderKeysRequest, context: Context
    ) -> pb.ListProviderKeysResponse:
        with _asking():
            stored = await self._keys.list(call_context.current().tenant, self._routes)
        return pb.ListProviderKeysResponse(object="list", data=map(_shown, stored))

    async def DeleteProviderKey(
        self, request: pb.DeleteProviderKeyRequest, context: Context
    ) -> pb.DeleteProviderKeyResponse:
        route = self._known(request.route)
        with _asking():
            deleted = await self._keys.delete(call_context.current().tenant, route)
        await self._keys.refresh()
        return pb.DeleteProviderKeyResponse(object="provider_key", route=route, deleted=deleted)

    def _known(self, route: str) -> str:
        if route not in self._routes:
            raise invalid(
                "route", f"There is no route {route[:40]!r} that takes a key; {', '.join(self._routes)} do."
            )
        call_context.current().log["provider"] = route
        return route


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    """Turn NATS's silence into the caller's error: whether a key was stored or deleted, a repeat will tell."""
    try:
        yield
    except (nats.errors.Error, OSError):
        raise unavailable() from None


def _shown(stored: ProviderKey) -> pb.ProviderKey:
    return pb.ProviderKey(
        object="provider_key", route=stored.route, created_at=stored.created_at, last_four=stored.last_four or None
    )
