"""Channels between processes: connections that take a while."""

from __future__ import annotations

from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc
from imagegateway.platform.addresses import TcpAddress
from imagegateway.platform.channels import open_channel
from imagegateway.platform.grpc_server import Server
from imagegateway.platform.internal_tls import Role
from imagegateway.platform.listener import Listener

from tests.support.ports import free_port
from tests.support.slow_connection import slow_port


async def test_call_waits_for_a_server_that_is_slow_to_connect() -> None:
    port = free_port()
    server = Server(Listener((TcpAddress("127.0.0.1", port),)), [])
    await server.start()
    with slow_port(port) as slow:
        async with await open_channel(TcpAddress("127.0.0.1", slow), None, Role.ROUTER) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
    await server.stop(0)
