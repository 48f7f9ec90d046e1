"""gRPC server of every process: health, reflection, limits, sockets, graceful stop."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import grpc
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from imagegateway.platform import grpc_reflection, logs, sockets
from imagegateway.platform.setting_source import SettingError
from imagegateway.platform.supervision import BackgroundTaskError, cancel_others

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

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
)

CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),
    # Reconnect to a restarted server at once: its socket is local.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class Server:
    """grpc.aio server on a UNIX socket. `services` are full names, for health and reflection."""

    def __init__(
        self,
        socket: Path,
        services: Sequence[str],
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        self._socket = socket
        self._services = services
        self.grpc = grpc.aio.server(interceptors=interceptors, options=OPTIONS)
        self.health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.grpc)
        grpc_reflection.enable(self.grpc, (*services, health.SERVICE_NAME))

    async def start(self) -> None:
        """Listen. Raises OSError for a socket that can't be created."""
        sockets.make_folder(self._socket.parent)
        self._socket.unlink(missing_ok=True)
        self.grpc.add_insecure_port(f"unix:{self._socket}")
        await self.grpc.start()
        self._socket.chmod(0o600)
        await self.set_ready(ready=True)

    async def set_ready(self, *, ready: bool) -> None:
        """Set the status that health checks return."""
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._services):
            await self.health.set(name, status)

    async def stop(self, grace: float) -> None:
        """Refuse new calls, and wait up to `grace` seconds for running ones."""
        await asyncio.to_thread(sockets.unlink, self._socket)  # new connections go elsewhere
        await self.health.enter_graceful_shutdown()
        await self.grpc.stop(grace)


def run(main: Callable[[asyncio.Event], Awaitable[None]], process: str) -> None:
    """Run `main` until it returns. SIGTERM and SIGINT set its event, which asks it to shut down."""

    async def body() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        try:
            await main(stop)
        finally:
            await cancel_others()

    log = logs.get(__name__)
    # Imported objects live until the end: no collection has to visit them, the last one at the exit included.
    gc.freeze()
    gc.enable()
    log.info("process_started", name=process)
    try:
        uvloop.run(body())
    except SettingError as error:
        log.error("setting_refused", error=str(error))
        sys.exit(1)
    except BackgroundTaskError as error:
        log.error("process_failed", name=process, reason=str(error))
        sys.exit(1)
    log.info("process_stopped", name=process)
