"""The whole stack as a user runs it: `imagegateway up` in a child process, reached by its one public port."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil  # type: ignore[import-untyped]  # ships no types
from imagegateway.platform import sockets

from tests.support import command, ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 60.0
_READY: Final = "imagegateway is ready"
free_port: Final = ports.free_port
_LAST_LINE: Final = "Ctrl-C stops everything."
_PROGRAMS: Final = {"nats": "nats-server", "router": "router-0"}
"""The kernel's names of processes that have another one in tests."""


def eventually(met: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until a condition of another process is met; fails the test when it is not in time.

    Pauses grow with the time waited: each question costs CPU that the other process needs.
    """
    began = time.monotonic()
    while not met():
        waited = time.monotonic() - began
        assert waited < seconds, f"{what}: not within {seconds:g} s"
        time.sleep(min(max(0.05, waited / 20), 0.5))


def is_gone(process: psutil.Process) -> bool:
    """Return True if a process has ended. A zombie, which no parent has waited for, counts as ended."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE or not process.is_running()
    except psutil.NoSuchProcess:
        return True


def assert_gone(processes: list[psutil.Process], seconds: float = 0.0) -> None:
    """Assert that these processes end within `seconds`. Kill and name those that don't."""
    deadline = time.monotonic() + seconds
    while (left := [process for process in processes if not is_gone(process)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    names = [" ".join(process.cmdline()) for process in left]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    assert not names, f"orphans: {names}"


@dataclass(slots=True)
class Stack:
    """A running stack."""

    process: subprocess.Popen[bytes]
    folder: Path
    """Holds the data directory and the captured output."""
    port: int
    key: str
    """IMAGEGATEWAY_API_KEY; empty where the stack makes its own key."""
    values: Mapping[str, str]
    """All given settings."""
    known: list[psutil.Process] = field(default_factory=list)
    """All descendants seen so far."""

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def socket(self, name: str) -> Path:
        """Return the path of a process's UNIX socket."""
        return sockets.folder(self.data_dir / "run") / f"{name}.sock"

    @property
    def output(self) -> Path:
        return self.folder / "output"

    @property
    def address(self) -> str:
        """Return the target for gRPC channels."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def text(self) -> str:
        """Return the output of all processes so far."""
        return self.output.read_text()

    def welcome(self) -> str:
        """Return the welcome text that the stack printed when it was ready."""
        match = re.search(rf"^{_READY}.*?^{_LAST_LINE}$", self.text(), re.DOTALL | re.MULTILINE)
        assert match, self.text()
        return match[0]

    def printed_key(self) -> str:
        """Return the key that the welcome text shows."""
        match = re.search(r"^ +key +(\S+)$", self.welcome(), re.MULTILINE)
        assert match
        return match[1]

    def log_lines(self) -> list[str]:
        """Return the complete lines of the output, without the welcome text."""
        text = self.text()
        text = text[: text.rfind("\n") + 1]  # a process may be about to write the rest of the last line
        text = text.replace(self.welcome(), "").replace("\nimagegateway: stopping\n", "\n")
        return [line for line in text.splitlines() if line]

    def events(self) -> list[dict[str, Any]]:
        """Return the parsed log lines. Fail at a line that is not a JSON object with an event."""
        return [_event(line) for line in self.log_lines()]

    def of_request(self, request_id: str) -> list[dict[str, Any]]:
        """Return the log lines of one request."""
        lines = [line for line in self.log_lines() if f'"{request_id}"' in line]
        return [event for event in map(_event, lines) if event.get("request_id") == request_id]

    def descendants(self) -> list[psutil.Process]:
        """Return the stack's processes, without the first one."""
        found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        self.known = list({*self.known, *found})
        return found

    def child(self, name: str) -> psutil.Process | None:
        """Return a process: nats, envoy, providers, media, router-1 or process-manager. None while it isn't running.

        `router` is the first router.
        """
        for process in self.descendants():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if process.name() == _PROGRAMS.get(name, name) and process.status() != psutil.STATUS_ZOMBIE:
                    return process
        return None

    def running_child(self, name: str) -> psutil.Process:
        """Return a process by its name. Fail if it isn't running."""
        process = self.child(name)
        assert process, f"{name} does not run"
        return process

    def command(self, *arguments: str, standard_input: str = "") -> subprocess.CompletedProcess[str]:
        """Run another `imagegateway` command with the same settings, in this process."""
        return command.run(*arguments, standard_input=standard_input, **self.values)

    def wait_ready(self) -> None:
        """Return when the welcome is printed; fails with the output when the stack ends before."""

        def ready() -> bool:
            assert self.process.poll() is None, f"the stack ended:\n{self.text()}"
            return _LAST_LINE in self.text()

        eventually(ready, READY_SECONDS, "the stack is ready")
        self.descendants()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the stack by a signal and return its exit status. Fail if a process is left."""
        if self.process.poll() is None:
            self.descendants()
            self.process.send_signal(number)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
        assert_gone(self.known)
        return self.process.returncode


def _event(line: str) -> dict[str, Any]:
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError:
        raise AssertionError(f"not a JSON line: {line}") from None
    assert event["event"], line
    return event


def start(folder: Path, *flags: str, **values: str) -> Stack:
    """Start a stack whose data directory lies in `folder`; `values` are settings by name, `port` among them."""
    values = {"port": str(free_port()), "metrics_port": str(free_port()), "data_dir": str(folder / "data"), **values}
    with (folder / "output").open("wb") as output:  # as a shell's `>` opens it
        process = subprocess.Popen(
            # A test run that is killed leaves no stack behind.
            [sys.executable, "-m", "imagegateway.stack.die_with_parent", command.PROGRAM, "up", *flags],
            env=command.environment(**values),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return Stack(process, folder, int(values["port"]), values.get("api_key", ""), values)


@contextmanager
def short_folder() -> Iterator[Path]:
    """Yield a temporary folder with a path as short as TMPDIR allows."""
    folder = Path(tempfile.mkdtemp(prefix="igw-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(**values: str) -> Iterator[Stack]:
    """Yield a separate, ready stack for one test. Stop it afterwards and assert that no process is left."""
    values = {"api_key": f"key-{secrets.token_hex(16)}", **values}
    with short_folder() as folder:
        stack = start(folder, **values)
        try:
            stack.wait_ready()
            yield stack
        finally:
            stack.stop()
