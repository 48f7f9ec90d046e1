"""Frame of each process: signals, phases, supervised background tasks, health checks and the side server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import uvloop
from imagegateway.platform import logs, process_metrics, settings, side_server, tracing
from imagegateway.platform.hosts import HostPort
from imagegateway.platform.setting_source import SettingError
from imagegateway.platform.supervision import BackgroundTaskError, Supervisor, cancel, cancel_others

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Check = Callable[[], Awaitable[bool]]
    """Health check. Returns whether a part can serve."""

LAME_DUCK_SECONDS: Final = 5.0
"""Default lame duck of a process that serves alone, where a load balancer or Kubernetes follows its readiness."""
_REPORT_SECONDS: Final = 0.25
"""Seconds between two looks at the checks."""
_log = logs.get(__name__)


class Phase(StrEnum):
    """Phase of a process."""

    STARTING = "starting"
    READY = "ready"
    LAME_DUCK = "lame_duck"
    """The process serves as usual and reports that it does not, so that load balancers choose another one."""
    STOPPING = "stopping"


class Process:
    """State of one process: its phase, its background tasks and its health checks.

    `lame_duck`: seconds of normal service between a request to stop and the stop.
    """

    def __init__(self, name: str, lame_duck: float = 0.0) -> None:
        self.name = name
        self.phase = Phase.STARTING
        self.is_started = False
        self.stopping = asyncio.Event()
        """Set at the end of the lame duck: the process ends its calls, and exits."""
        self.supervisor = Supervisor()
        self.side = side_server.application(self)
        """Application of the side server, for further routes before the process starts."""
        self._lame_duck = lame_duck
        self._checks: dict[str, Check] = {}
        self._phase_changed = asyncio.Event()

    def add_check(self, name: str, check: Check) -> None:
        """Add a health check of one part. Readiness reports `name` while the check returns False."""
        self._checks[name] = check

    def start_complete(self) -> None:
        """Report ready from now on, unless a stop was requested during the start."""
        self.is_started = True
        if self.phase is Phase.STARTING:
            self._enter(Phase.READY)

    def request_stop(self) -> None:
        """Begin the lame duck. A further request ends it."""
        if self.phase is not Phase.READY or not self._lame_duck:
            self._stop()
            return
        _log.info("process_lame_duck", seconds=self._lame_duck)
        self._enter(Phase.LAME_DUCK)
        asyncio.get_running_loop().call_later(self._lame_duck, self._stop)

    async def until_stopped(self) -> None:
        """Report ready, and return when the process must stop. Raises BackgroundTaskError."""
        self.supervisor.spawn("event loop sample", process_metrics.sample_event_loop())
        self.start_complete()
        await self.supervisor.run(self.stopping.wait())

    async def serve(self, main: Callable[[Process], Awaitable[None]]) -> None:
        """Run `main` to its end. A stop during its start cancels it: a start waits for servers without limit."""
        serving = asyncio.ensure_future(main(self))
        stopping = asyncio.create_task(self.stopping.wait())
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self.is_started or serving.done():
            await serving
        else:
            await cancel(serving)

    async def not_ready(self) -> list[str]:
        """Return the names of the parts that are not ready; the phase counts as one. Empty: the process is ready."""
        names = [] if self.phase is Phase.READY else [self.phase.value]
        if failure := self.supervisor.failure:
            names.append(failure.task)
        return names + [name for name, check in self._checks.items() if not await check()]

    async def report_readiness(self, report: Callable[[bool], Awaitable[None]]) -> None:
        """Call `report` at each change of readiness, until cancelled. The process counts as ready at first."""
        ready = True
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REPORT_SECONDS if self._checks else None):
                    await self._phase_changed.wait()
            self._phase_changed.clear()
            if ready == bool(await self.not_ready()):
                ready = not ready
                await report(ready)

    def _stop(self) -> None:
        self._enter(Phase.STOPPING)
        self.stopping.set()

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._phase_changed.set()


def run(main: Callable[[Process], Awaitable[None]], name: str, *, alone: bool = False) -> None:
    """Run `main` until it returns. SIGTERM and SIGINT request its stop. Exit with status 1 after a failure.

    `alone`: the process runs without `imagegateway up`. Its side server listens on the port for metrics instead of a
    UNIX socket, and it has a lame duck.
    """
    current = settings.current()
    logs.configure(current, name)

    async def body() -> None:
        lame_duck = LAME_DUCK_SECONDS if current.lame_duck is None else current.lame_duck
        process = Process(name, lame_duck if alone else 0.0)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, process.request_stop)
        process_metrics.add_metrics(process.side)
        address = HostPort(current.metrics_host, current.metrics_port) if alone else current.socket(f"{name}-side")
        try:
            async with side_server.serving(process.side, address, current):
                await process.serve(main)
        finally:
            await process.supervisor.close()
            await cancel_others()

    # Imported objects live until the end: no collection has to visit them, the last one at the exit included.
    gc.freeze()
    gc.enable()
    _log.info("process_started", name=name)
    try:
        tracing.start(name)
        uvloop.run(body())
    except SettingError as error:
        _log.error("setting_refused", error=str(error))
        sys.exit(1)
    except BackgroundTaskError as error:
        _log.error("process_failed", name=name, reason=str(error))
        sys.exit(1)
    finally:
        tracing.stop()
    _log.info("process_stopped", name=name)
