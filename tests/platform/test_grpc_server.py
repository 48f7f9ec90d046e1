"""gRPC server: one wait for the next call, whatever its method."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from imagegateway.platform import sockets
from imagegateway.platform.grpc_server import Server
from imagegateway.platform.listener import Listener

if TYPE_CHECKING:
    from pathlib import Path


async def test_server_waits_for_no_method_separately(tmp_path: Path) -> None:
    path = sockets.folder(tmp_path) / "server.sock"
    server = Server(Listener.unix(path), [])
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        waits = [repr(task) for task in asyncio.all_tasks() if "AioServer" in repr(task)]
        assert waits
        assert not [wait for wait in waits if "registered" in wait]
    finally:
        await server.stop(0)
