"""RestAdminService: the methods of AdminService that take a JSON body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from google.protobuf.message import Message
from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.admin.v1 import rest_admin_service_pb2 as rest_pb
from imagegateway.admin.v1 import rest_admin_service_pb2_grpc as pb_grpc
from imagegateway.platform.errors import invalid, unsupported
from imagegateway.router import call_context, request_fields
from imagegateway.router.json_rendering import to_json
from imagegateway.router.rest_bodies import json_response, read_json_and_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from google.api.httpbody_pb2 import HttpBody
    from imagegateway.platform.grpc_server import Context
    from imagegateway.router.admin.admin_service import AdminService
    from imagegateway.router.body_budget import BodyBudget

    _Pieces = AsyncIterable[rest_pb.RestAdminRequest]

_IN_PATH: Final = frozenset({"id", "update_mask"})
"""Fields that no body may hold."""
_M = TypeVar("_M", bound=Message)


class RestAdminService(pb_grpc.RestAdminServiceServicer):
    """Reader of JSON bodies for AdminService."""

    def __init__(self, service: AdminService, budget: BodyBudget) -> None:
        self._service = service
        self._budget = budget

    async def CreateKey(self, pieces: _Pieces, context: Context) -> AsyncIterator[HttpBody]:
        request, _, _ = await self._read(pb.CreateKeyRequest, pieces)
        yield _response(await self._service.CreateKey(request, context))

    async def UpdateKey(self, pieces: _Pieces, context: Context) -> AsyncIterator[HttpBody]:
        request, key_id, names = await self._read(pb.UpdateKeyRequest, pieces)
        request.id = key_id
        request.update_mask.paths.extend(names)
        yield _response(await self._service.UpdateKey(request, context))

    async def RotateKey(self, pieces: _Pieces, context: Context) -> AsyncIterator[HttpBody]:
        request, key_id, _ = await self._read(pb.RotateKeyRequest, pieces)
        request.id = key_id
        yield _response(await self._service.RotateKey(request, context))

    async def UpdateTenant(self, pieces: _Pieces, context: Context) -> AsyncIterator[HttpBody]:
        request, tenant, names = await self._read(pb.UpdateTenantRequest, pieces)
        request.name = tenant
        request.update_mask.paths.extend(names)
        yield _response(await self._service.UpdateTenant(request, context))

    async def _read(self, message_type: type[_M], pieces: _Pieces) -> tuple[_M, str, list[str]]:
        """Return the request, the id in the path, and the names of the fields in the body, also of null ones.

        Raises GatewayError UNSUPPORTED_PARAMETER naming an unknown field, and as `read_json` does.
        """
        call = call_context.current()
        required = message_type is not pb.RotateKeyRequest
        with self._budget.reservation(call.tenant) as reservation:
            values, in_path = await read_json_and_path(
                pieces, lambda piece: piece.id, call, reservation, required=required
            )
            names = _known_names(message_type, values)
            request, _ = request_fields.build(message_type, values)
        return request, in_path, names


def _known_names(message_type: type[Message], values: dict[str, Any]) -> list[str]:
    """Return the names of a body's fields. Raises GatewayError naming one that is unknown, or an empty list."""
    fields = frozenset(message_type.DESCRIPTOR.fields_by_name.keys()) - _IN_PATH
    if message_type is pb.UpdateTenantRequest:
        fields = fields - {"name"}
    for name, value in values.items():
        if name not in fields:
            raise unsupported(name[:100], f"There is no field {name[:100]!r}.")
        if value == []:
            raise invalid(name, f"{name} must not be empty; null sets the default.")
    return list(values)


def _response(message: Message) -> HttpBody:
    return json_response(call_context.current(), to_json(message))
