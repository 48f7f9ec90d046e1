"""The benchmark ends all that it started, however it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no types
import pytest

from bench.processes import ROOT, environment, running, until

_SECONDS = 20
_DAEMON = """
import os, signal, sys, time
if os.fork():
    time.sleep(600)
os.setsid()
if os.fork():
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)
"""
"""Peer with a daemon: a process in another session, without a living parent, that ignores SIGTERM."""
_FAILURE = """while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
    sys.exit(3)"""
_BENCH = """
import sys
from pathlib import Path
from bench.processes import environment, running
with running([sys.executable, "-c", *sys.argv[2:]], Path(sys.argv[1]), Path("."), environment()) as process:
    process.wait()
"""


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Path]:
    """File in which the peer's daemon writes its process id. The daemon ends with the test at the latest."""
    path = tmp_path / "daemon"
    yield path
    if path.exists() and psutil.pid_exists(pid := int(path.read_text())):
        os.kill(pid, signal.SIGKILL)


def _ended(pid: int) -> bool:
    until_time = time.monotonic() + _SECONDS
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > until_time:
            return False
        time.sleep(0.02)
    return True


def test_daemon_of_a_program_ends_with_its_context(tmp_path: Path, written: Path) -> None:
    output = tmp_path / "output"
    command = [sys.executable, "-c", _DAEMON, str(written)]

    with running(command, output, tmp_path, environment()) as process:
        until(written.exists, process, output, "the peer")

    assert _ended(int(written.read_text()))


def test_daemon_of_a_program_that_failed_ends(tmp_path: Path, written: Path) -> None:
    output = tmp_path / "output"
    failing = _DAEMON.replace("time.sleep(600)", _FAILURE, 1)

    with running([sys.executable, "-c", failing, str(written)], output, tmp_path, environment()) as process:
        assert process.wait(_SECONDS) == 3

    assert _ended(int(written.read_text()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_daemon_of_a_program_ends_with_a_killed_benchmark(
    tmp_path: Path, written: Path, number: signal.Signals
) -> None:
    output = tmp_path / "output"
    bench = subprocess.Popen(
        [sys.executable, "-c", _BENCH, str(output), _DAEMON, str(written)], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    try:
        until_time = time.monotonic() + _SECONDS
        while not written.exists() and time.monotonic() < until_time:
            time.sleep(0.02)
        bench.send_signal(number)
        bench.wait(_SECONDS)

        assert _ended(int(written.read_text()))
    finally:
        bench.kill()
        bench.wait()
