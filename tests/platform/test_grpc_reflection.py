"""Server reflection as grpcurl and Postman use it: v1, and v1alpha for older versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2 as pb
from imagegateway.platform import sockets
from imagegateway.platform.grpc_server import Server
from imagegateway.platform.listener import Listener

if TYPE_CHECKING:
    from pathlib import Path

V1 = "grpc.reflection.v1.ServerReflection"
ALPHA = "grpc.reflection.v1alpha.ServerReflection"
OURS = "imagegateway.v1.ImageService"


async def ask(channel: grpc.aio.Channel, service: str, request: pb.ServerReflectionRequest) -> bytes:
    call: Any = channel.stream_stream(f"/{service}/ServerReflectionInfo")
    async for answer in call([request.SerializeToString()]):
        return bytes(answer)
    raise AssertionError("no answer")


@pytest.mark.parametrize("service", [V1, ALPHA])
async def test_both_versions_list_and_describe_all_services(tmp_path: Path, service: str) -> None:
    path = sockets.folder(tmp_path) / "reflection.sock"
    server = Server(Listener.unix(path), [OURS])
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            answer = await ask(channel, service, pb.ServerReflectionRequest(list_services=""))
            listed = pb.ServerReflectionResponse.FromString(answer).list_services_response.service
            names = {found.name for found in listed}
            assert {V1, ALPHA, OURS, "grpc.health.v1.Health"} <= names
            for name in names:
                answer = await ask(channel, service, pb.ServerReflectionRequest(file_containing_symbol=name))
                files = pb.ServerReflectionResponse.FromString(answer).file_descriptor_response.file_descriptor_proto
                file = descriptor_pb2.FileDescriptorProto.FromString(files[0])
                assert name in {f"{file.package}.{found.name}" for found in file.service}
    finally:
        await server.stop(0)
