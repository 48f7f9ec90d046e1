"""Forked processes: their exit status, and the end of what they run."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

pytestmark = pytest.mark.processes

# This process has threads, so it can't fork.
PROGRAM: Final = """
import signal, sys, time
from imagegateway.stack.forked import ForkedProcess
process = ForkedProcess(lambda: {run})
{then}
"""


def forked(run: str, then: str) -> subprocess.CompletedProcess[str]:
    """Run an expression in a forked process, then statements in its parent."""
    program = PROGRAM.format(run=run, then=then)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)


@pytest.mark.parametrize(
    ("run", "status", "error"),
    [
        ("None", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('it is refused')", 1, "it is refused"),
        ("1 / 0", 1, "ZeroDivisionError"),
    ],
)
def test_exit_status_is_that_of_an_interpreter(run: str, status: int, error: str) -> None:
    done = forked(run, "print(process.wait(), process.poll()); process.send_signal(signal.SIGTERM)")
    assert done.stdout == f"{status} {status}\n"
    assert error in done.stderr


def test_wait_ends_without_a_status_while_the_process_runs() -> None:
    done = forked(
        "time.sleep(600)",
        "print(process.poll(), process.wait(0.01)); process.send_signal(signal.SIGKILL); print(process.wait())",
    )
    assert done.stdout == "None None\n-9\n"
