"""gRPC server: health, reflection, limits, sockets, graceful stop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from imagegateway.platform import grpc_reflection, sockets
from imagegateway.platform.addresses import TcpAddress
from imagegateway.platform.internal_callers import CallerInterceptor
from imagegateway.platform.setting_source import SettingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagegateway.platform.addresses import Address
    from imagegateway.platform.listener import Listener

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

MAX_REQUEST_BYTES: Final = 64 * 1024 * 1024
"""Largest gRPC request. Envoy refuses larger bodies first, with 413: gRPC's refusal maps to 429."""

MAX_METADATA_BYTES: Final = 64 * 1024
"""Largest metadata of a call. Envoy refuses larger headers first, with 431: gRPC's refusal maps to 429."""

OPTIONS: Final = (
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", -1),
    # With port reuse, a leftover process takes calls beside the new one.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # Routers and Envoy ping on TCP, to detect a host that vanished.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
)

CALL_REACHED: Final = "x-call-reached"
"""Initial metadata of a provider call that takes its time, sent before a server that stops can end the RPC. A refused
call without it certainly has not begun.
"""

MESSAGE_OPTIONS: Final = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
"""Channel options for messages of any size."""

CHANNEL_OPTIONS: Final = (
    *MESSAGE_OPTIONS,
    ("grpc.enable_retries", 0),
    # Reconnect to a restarted server at once: its socket is local.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Longest time of a connection attempt, whatever the name: a busy machine takes more than 100 ms.
    ("grpc.min_reconnect_backoff_ms", 1000),
)


class Server:
    """grpc.aio server of one process. `services` are full names, for health and reflection."""

    def __init__(
        self,
        listener: Listener,
        services: Sequence[str],
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        self._listener = listener
        self._services = services
        if listener.tls:
            interceptors = [CallerInterceptor(listener.callers), *interceptors]
        self.grpc = grpc.aio.server(interceptors=interceptors, options=OPTIONS)
        # For each call, gRPC would begin and end a wait for every registered method. Generic handlers share one.
        self.grpc.add_registered_method_handlers = _register_nothing  # type: ignore[method-assign]
        self.health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.grpc)
        grpc_reflection.enable(self.grpc, (*services, health.SERVICE_NAME))

    async def start(self) -> None:
        """Listen. Raises OSError for a socket that can't be created, SettingError for a port that is in use."""
        for path in self._listener.sockets:
            sockets.make_folder(path.parent)
            path.unlink(missing_ok=True)
        for address in self._listener.addresses:
            self._add(address)
        await self.grpc.start()
        for path in self._listener.sockets:
            path.chmod(0o600)
        await self.set_ready(True)

    def _add(self, address: Address) -> None:
        if not isinstance(address, TcpAddress):
            self.grpc.add_insecure_port(str(address))
            return
        try:
            if self._listener.tls:
                self.grpc.add_secure_port(address.authority, self._listener.tls.server_credentials())
            else:
                self.grpc.add_insecure_port(address.authority)
        except RuntimeError:  # gRPC logs the cause
            raise SettingError(f"{address} can't be listened on: another process may use the port") from None

    async def set_ready(self, ready: bool) -> None:
        """Set the status that health checks return."""
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._services):
            await self.health.set(name, status)

    async def stop(self, grace: float) -> None:
        """Refuse new calls, and wait up to `grace` seconds for running ones."""
        for path in self._listener.sockets:
            await asyncio.to_thread(sockets.unlink, path)  # new connections go elsewhere
        await self.health.enter_graceful_shutdown()
        await self.grpc.stop(grace)


def _register_nothing(service_name: str, method_handlers: object) -> None:
    """Leave the methods of a service to its generic handler, which generated code adds, too."""
