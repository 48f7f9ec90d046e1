"""Channels between processes: connections that take a while, and after a failed one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from imagegateway.platform.addresses import TcpAddress, UnixAddress
from imagegateway.platform.channels import open_channel
from imagegateway.platform.grpc_server import Server
from imagegateway.platform.internal_tls import Role
from imagegateway.platform.listener import Listener

from tests.support.ports import free_port
from tests.support.slow_connection import slow_port

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.platform.addresses import Address


async def check(address: Address) -> bool:
    """Return whether a server answers a call on a new channel."""
    async with await open_channel(address, None, Role.ROUTER) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
        except grpc.aio.AioRpcError:
            return False
    return True


async def test_new_channel_connects_at_once_although_an_earlier_one_failed(tmp_path: Path) -> None:
    for number in range(30):
        address = UnixAddress(tmp_path / f"{number}.sock")
        assert not await check(address)
        server = Server(Listener((address,)), [])
        await server.start()
        assert await check(address)
        await server.stop(0)


async def test_call_waits_for_a_server_that_is_slow_to_connect() -> None:
    port = free_port()
    server = Server(Listener((TcpAddress("127.0.0.1", port),)), [])
    await server.start()
    with slow_port(port) as slow:
        assert await check(TcpAddress("127.0.0.1", slow))
    await server.stop(0)
