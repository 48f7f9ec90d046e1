"""gRPC server reflection: v1, and v1alpha for older clients. grpcio-reflection implements only v1alpha."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection, reflection_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

_ALPHA: Final = "grpc.reflection.v1alpha"
_V1: Final = "grpc.reflection.v1"
_SERVICE: Final = f"{_V1}.ServerReflection"


def enable(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Serve reflection of services (full names) and of the reflection service itself."""
    _describe_v1()
    names = (*services, reflection.SERVICE_NAME, _SERVICE)
    reflection.enable_server_reflection(names, server)
    # The messages of both versions are equal, byte for byte.
    method = grpc.stream_stream_rpc_method_handler(
        reflection.aio.ReflectionServicer(names).ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handler = grpc.method_handlers_generic_handler(_SERVICE, {"ServerReflectionInfo": method})
    server.add_generic_rpc_handlers((handler,))


def _describe_v1() -> None:
    """Register the descriptors of v1: those of v1alpha under another name."""
    renamed = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(renamed)
    renamed.name = renamed.name.replace("v1alpha", "v1")
    renamed.package = _V1
    for message in renamed.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(_ALPHA, _V1)
    for service in renamed.service:
        for method in service.method:
            method.input_type = method.input_type.replace(_ALPHA, _V1)
            method.output_type = method.output_type.replace(_ALPHA, _V1)
    descriptor_pool.Default().Add(renamed)  # harmless to repeat
