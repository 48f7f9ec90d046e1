"""Operation of the whole stack: start, wait until ready, make the first image, watch until stopped."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.platform.optional_imports import hidden

with hidden("aiohttp"):  # 12 MB that nats-py would import for WebSockets
    import nats.aio.client  # noqa: F401

from imagegateway.keys.audit_log import AuditLog
from imagegateway.keys.gateway_keys import GatewayKeys
from imagegateway.keys.key_store import KeyStore
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform import logs, tracing
from imagegateway.platform.identity import GATEWAY, load_identity
from imagegateway.platform.logs import LogFormat
from imagegateway.platform.nats import connect
from imagegateway.platform.supervision import cancel_others
from imagegateway.router.catalog import Catalog
from imagegateway.stack import envoy_drain, gateway_identity, preflight, status_server
from imagegateway.stack.config import StackConfig
from imagegateway.stack.errors import SelfCheckError, StackError
from imagegateway.stack.example_key import example_key
from imagegateway.stack.first_image import make_first_image
from imagegateway.stack.local_access import LocalAccess
from imagegateway.stack.log_relay import LogRelay
from imagegateway.stack.nats_watch import NatsWatch, restart_nats
from imagegateway.stack.public_certificate import CertificateWatch
from imagegateway.stack.stack_metrics import StackMetrics
from imagegateway.stack.status_server import StackHealth
from imagegateway.stack.stop_requests import StopRequests
from imagegateway.stack.supervisor import CONFIG, Supervisor
from imagegateway.stack.welcome import welcome

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.platform.settings import Settings

_START_SECONDS: Final = 60.0
_READY_POLL_SECONDS: Final = 0.05
_WATCH_SECONDS: Final = 0.5
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class StartOptions:
    """Extras of a start: a first image, and an API key for the printed examples."""

    first_image: bool
    first_key: bool

    @classmethod
    def resolve(cls, settings: Settings, *, first_image: bool, first_key: bool) -> StartOptions:
        """Return both for a gateway with its own NATS server; the flags for one on a server that others may share."""
        own_nats = not settings.nats_url
        return cls(first_image or own_nats, first_key or own_nats)


def up(settings: Settings, options: StartOptions) -> int:
    """Run the stack until SIGINT or SIGTERM. Return the exit status. Raises StackError and SettingError."""
    logs.configure(settings, "up", final=False)
    gc.freeze()  # as in the other processes: imported objects live until the end
    # Own prices that can't be read, default models and trace settings stop the start here, and not each process.
    Catalog.of(settings)
    tracing.protocol()
    preflight.check_settings(settings)
    preflight.make_private(settings.data_dir)
    with preflight.lock(settings):
        preflight.check_port(settings)
        with preflight.socket_folder(settings):
            config = StackConfig.create(settings)
            certificate_watch = CertificateWatch.of(settings, config.run_dir)
            config.write()
            relay = LogRelay(settings)
            logs.configure(settings, "up", relay, final=False)
            stop = StopRequests()
            stop.follow_signals()
            nats_log = config.run_dir / "nats.log"
            nats_watch = NatsWatch(nats_log, settings.data_dir, lambda: restart_nats(config.run_dir / CONFIG))
            environment = {"IMAGEGATEWAY_DATA_DIR": str(settings.data_dir), "IMAGEGATEWAY_LOG_FORMAT": LogFormat.JSON}
            if settings.nats_url:
                asyncio.run(gateway_identity.renew_copied(settings, "up"))
            supervisor = Supervisor.spawn(config.run_dir, environment, relay.write_end)
            relay.start()
            try:
                run = _Run(settings, options, supervisor, nats_watch, certificate_watch, relay, stop)
                return asyncio.run(run.serve())
            except Exception:
                relay.reveal()
                raise
            finally:
                supervisor.stop()
                relay.end()


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of the started stack."""

    settings: Settings
    options: StartOptions
    supervisor: Supervisor
    nats_watch: NatsWatch
    certificate_watch: CertificateWatch | None
    relay: LogRelay
    stop: StopRequests

    async def serve(self) -> int:
        """Serve health, complete the start, then watch until a signal. Return the exit status. Raises StackError."""
        self.stop.follow_signals(asyncio.get_running_loop())
        health = StackHealth(self.settings)
        routes = {"/healthz": health.live, "/readyz": health.ready, "/metrics": StackMetrics(self.settings).page}
        async with status_server.serving(self.settings, routes):
            return await self._serve(health)

    async def _serve(self, health: StackHealth) -> int:
        began = time.monotonic()
        if not await self._until_ready(began):
            return 0
        client, stopping = await connect(self.settings, "up"), asyncio.Event()
        try:
            identity = load_identity(self.settings.data_dir / GATEWAY)
            keys = GatewayKeys(
                client,
                await KeyStore.open(client, self.settings.nats_replicas, RootSecret.load(self.settings), stopping),
                await AuditLog.open(client, self.settings, stopping),
                identity,
            )
            await keys.announce(self.settings.data_dir / GATEWAY)
            await keys.delete_session_keys()  # keys of a stack that was killed
            key = await example_key(self.settings, keys, create=self.options.first_key)
            image: Path | None = None
            if self.options.first_image:
                image = await self._first_image(key.secret if key else await keys.create_session_key())
                if image is None:
                    return 0
                if key is None:
                    await keys.delete_session_keys()
            if self.options.first_key:
                access = LocalAccess(
                    self.settings.local_url, self.settings.socket("envoy-api"), await keys.create_session_key()
                )
                access.save(self.settings.data_dir)
            seconds = time.monotonic() - began
            self.relay.announce("\n" + welcome(self.settings.local_url, key, image, seconds) + "\n")
            health.phase = "ready"
            while not await self.stop.requested(_WATCH_SECONDS):
                self.supervisor.check()
                await self.nats_watch.check()
                if self.certificate_watch:
                    self.certificate_watch.check()
            health.phase = "lame_duck"
            await self._be_lame_duck()
            stopping.set()  # an end without NATS does not wait for it
            with contextlib.suppress(Exception):
                await keys.delete_session_keys()
        finally:
            LocalAccess.remove(self.settings.data_dir)
            # Without its server, the client raises, even CancelledError: do not mask the error that ended the stack.
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await client.close()
            await cancel_others()  # a client that reconnects may swallow a cancellation
        self.relay.announce("\nimagegateway: stopping")
        return 0

    async def _until_ready(self, began: float) -> bool:
        """Wait for /readyz. Return False after a signal. Raises StackError if the stack does not become ready."""
        while not self.stop.count:
            self.supervisor.check()
            if await asyncio.to_thread(_ready, self.settings):
                return True
            if time.monotonic() - began > _START_SECONDS:
                raise StackError(
                    f"the gateway is not ready after {_START_SECONDS:.0f} s; the cause is in the log above"
                )
            await asyncio.sleep(_READY_POLL_SECONDS)
        return False

    async def _be_lame_duck(self) -> None:
        """Fail readiness and serve on, until the lame duck or a second signal ends it."""
        with contextlib.suppress(OSError):  # an Envoy that is down serves no request
            await asyncio.to_thread(envoy_drain.fail_readiness, self.settings.socket("envoy-admin"))
        if self.settings.lame_duck:
            _log.info("lame_duck", seconds=self.settings.lame_duck)
            await self.stop.requested(self.settings.lame_duck, count=2)

    async def _first_image(self, api_key: str) -> Path | None:
        """Make the first image. Return its path, or None after a signal.

        Raises SelfCheckError; StackError if a process crashes, since the crash explains the failed self-check.
        """
        attempt = asyncio.ensure_future(make_first_image(self.settings, api_key))
        try:
            while not attempt.done():
                await asyncio.wait([attempt], timeout=_WATCH_SECONDS)
                if self.stop.count:
                    return None
                self.supervisor.check()
            return attempt.result()
        except SelfCheckError:
            self.supervisor.check_no_recent_crash()
            raise
        finally:
            attempt.cancel()
            await asyncio.gather(attempt, return_exceptions=True)


def _ready(settings: Settings) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(str(settings.socket("envoy-api")))
            connection.sendall(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
