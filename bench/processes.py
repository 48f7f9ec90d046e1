"""Processes of the benchmark: start, readiness, lines of their pipes, and an end that leaves none behind."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imagegateway.platform import setting_source

from bench.reaper import GRACE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent
_READY_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.02
_KILL_SECONDS: Final = 20.0
_REAPER: Final = (sys.executable, "-P", str(HERE / "reaper.py"))


class SubjectError(Exception):
    """A subject does not start or respond. The message is for the terminal."""


def environment() -> dict[str, str]:
    """Return this process's environment without the gateway's settings."""
    return {
        name: text
        for name, text in setting_source.environment().items()
        if not name.startswith(setting_source.PREFIX)
    }


def listens(port: int) -> bool:
    """Return True if a process listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(
    command: list[str], output: Path, folder: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of this context or of this process. Its descendants end with it.

    The yielded process is the launcher; `bench.usage` counts its descendants.
    """
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*_REAPER, *command],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # ctrl-C reaches the benchmark only, which ends its programs in order
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(GRACE_SECONDS + _KILL_SECONDS)


def until(
    met: Callable[[], bool],
    process: subprocess.Popen[bytes],
    output: Path,
    name: str,
    seconds: float = _READY_SECONDS,
) -> None:
    """Wait until a process is ready. Raises SubjectError with its output on failure."""
    deadline = time.monotonic() + seconds
    while not met():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = output.read_text(errors="replace")[-3000:]
            raise SubjectError(f"{name} does not start; the end of its output:\n{tail}")
        time.sleep(_POLL_SECONDS)


@dataclass(frozen=True, slots=True)
class Worker:
    """Process of a module of the benchmark, which gets its order as a JSON line and reports in lines."""

    module: str
    process: subprocess.Popen[str]

    def ready(self) -> None:
        """Wait for the ready line. Raises SubjectError without it."""
        if (line := self._read()) != "ready":
            raise SubjectError(f"{self.module} is not ready: {line[:200]}")

    def send(self, line: str) -> None:
        """Write a line to its input."""
        if self.process.stdin:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """Return the result. Raises SubjectError if the process ended without one."""
        line = self._read()
        if not line:
            raise SubjectError(f"{self.module} ended without a result")
        found: dict[str, Any] = json.loads(line)
        return found

    def _read(self) -> str:
        """Return the next line, or an empty text after the process's end."""
        return self.process.stdout.readline().strip() if self.process.stdout else ""


@contextmanager
def worker(module: str, order: Mapping[str, Any], where: Mapping[str, str], *more: str) -> Iterator[Worker]:
    """Start a module of the benchmark and send its order. It ends with this context and with this process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "imagegateway.stack.die_with_parent", sys.executable, "-m", module, *more],
        cwd=ROOT,
        env=dict(where),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        found = Worker(module, process)
        found.send(json.dumps(order))
        yield found
    finally:
        process.terminate()
        process.wait()
