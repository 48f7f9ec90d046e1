"""One process of a fleet: a part of the gateway, a NATS server or an Envoy."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.support import command
from tests.support.metrics import Scrape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.fleet.hosts import Address, Host

READY_SECONDS: Final = 180.0
"""Seconds within which a part or a change of one is in service, also on a busy machine."""
STOP_SECONDS: Final = 60.0
_PROBE_SECONDS: Final = 2.0
_SCRAPE_SECONDS: Final = 30.0
_DIE_WITH_PARENT: Final = (sys.executable, "-m", "imagegateway.stack.die_with_parent")


@dataclass(slots=True)
class Part:
    """One process on one host."""

    name: str
    host: Host
    arguments: Sequence[str]
    environment: Mapping[str, str]
    output: Path
    ports: Mapping[str, Address]
    """Ports by use: `grpc`, `uploads`, `http`, `public`, `nats`, and `metrics` for health and metrics."""
    readiness: str = "/readyz"
    """Path at the port for metrics that answers 200 while the process serves."""
    files: Path | None = None
    """Folder of an Envoy's files. Envoy is drained before its stop."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def kind(self) -> str:
        """`router`, `providers`, `media`, `envoy` or `nats`."""
        return self.name.rpartition("-")[0]

    @property
    def is_running(self) -> bool:
        """Return whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the process. Its output is added to that of earlier starts."""
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [*_DIE_WITH_PARENT, *self.host.command(self.arguments)],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_ready(self) -> None:
        """Wait until the process reports ready."""

        deadline = time.monotonic() + READY_SECONDS
        while self.status(self.readiness) != 200:
            assert self.is_running, (
                f"{self.name} ended with {self.process and self.process.returncode}:\n{self.text()[-3000:]}"
            )
            assert time.monotonic() < deadline, f"{self.name} is not ready:\n{self.text()[-3000:]}"
            time.sleep(0.05)

    def status(self, path: str) -> int:
        """Return the status of a request to the port for metrics, 0 without an answer."""
        return self.get(path)[0]

    def scrape(self) -> Scrape:
        """Return the metrics."""
        status, text = self.get("/metrics", _SCRAPE_SECONDS)
        assert status == 200, f"{self.name}: {status}"
        return Scrape.parse(text)

    def get(self, path: str, seconds: float = _PROBE_SECONDS) -> tuple[int, str]:
        """Return status and body of a request to the port for metrics, 0 without an answer."""
        try:
            with urllib.request.urlopen(f"http://{self.ports['metrics']}{path}", timeout=seconds) as response:
                return int(response.status), response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process
        self.process.send_signal(number)

    def stop(self) -> int:
        """End the process as an operator does. Return its exit status."""
        if self.process is None:
            return 0
        if self.files and self.is_running:
            drained = subprocess.run(
                [command.PROGRAM, "drain", "--files", self.files],
                env=self.environment,
                check=False,
                timeout=STOP_SECONDS,
            )
            assert drained.returncode == 0, f"{self.name} was not drained"
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def kill(self) -> None:
        """End the process by SIGKILL."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def text(self) -> str:
        """Return the output so far."""
        with suppress(FileNotFoundError):
            return self.output.read_text(errors="replace")
        return ""
