"""Process manager: starts, restarts and stops without supervisord's pause of a second, and forks of modules."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil  # type: ignore[import-untyped]  # ships no types
import pytest

from tests.support.stack import assert_gone, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.processes

STARTS: Final = 10
CONFIG: Final = """
[supervisord]
nodaemon=true
silent=true
logfile={folder}/log
pidfile={folder}/pid

[program:brief]
command=sh -c "date +%%s.%%N >> {folder}/starts; exit 1"
autorestart=true
startsecs=0
priority=1

[program:lasting]
command=sleep 600
startsecs=0
priority=2

[program:module]
command=imagegateway.providers no-such-family
autorestart=false
startsecs=0
priority=3
"""

# This process has threads, so it can't fork the manager.
PROGRAM: Final = """
import os, sys
from pathlib import Path
from imagegateway.stack import process_manager
process_manager.run(Path(sys.argv[1]), 1, {"GIVEN": "yes"}, os.getppid())
"""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    config = tmp_path / "config"
    config.write_text(CONFIG.format(folder=tmp_path))
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(config)], stdout=output)
    yield process
    process.kill()
    process.wait()


def test_process_manager_restarts_and_stops_at_once(tmp_path: Path, manager: subprocess.Popen[bytes]) -> None:
    starts = tmp_path / "starts"
    eventually(lambda: starts.exists() and len(starts.read_text().splitlines()) >= STARTS, 60, "it is restarted")
    times = [float(line) for line in starts.read_text().splitlines()[:STARTS]]
    assert times[-1] - times[0] < STARTS - 2  # supervisord alone starts one a second
    manager.send_signal(signal.SIGTERM)
    assert manager.wait(30) == 0


def test_killed_process_manager_leaves_no_process(tmp_path: Path, manager: subprocess.Popen[bytes]) -> None:
    eventually((tmp_path / "starts").exists, 60, "it is started")
    found = psutil.Process(manager.pid).children(recursive=True)
    manager.send_signal(signal.SIGKILL)
    assert manager.wait(30) == -signal.SIGKILL
    assert_gone(found, 20)


def test_programs_have_the_managers_output_and_environment(tmp_path: Path, manager: subprocess.Popen[bytes]) -> None:
    log = tmp_path / "log"

    def is_refused() -> bool:
        return log.exists() and "exited: module (exit status 2" in log.read_text()

    eventually(is_refused, 60, "the module refuses its argument")
    assert "unknown family no-such-family" in (tmp_path / "output").read_text()
    assert b" -m imagegateway.stack.process_manager" in Path(f"/proc/{manager.pid}/cmdline").read_bytes()
    lasting = _child_named("sleep", manager)
    assert lasting.environ()["GIVEN"] == "yes"
    assert not [path for path in Path(f"/proc/{lasting.pid}/fd").iterdir() if int(path.name) > 2]


def test_process_whose_parent_has_died_already_ends() -> None:
    program = "import os; from imagegateway.stack import die_with_parent as m; m.die_with_parent(os.getpid())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "the parent process is dead\n")


def _child_named(name: str, manager: subprocess.Popen[bytes]) -> psutil.Process:
    """Return the child with a name, among others that end at any time."""
    for child in psutil.Process(manager.pid).children():
        with suppress(psutil.NoSuchProcess):
            if child.name() == name:
                return child
    pytest.fail(f"no {name}")
