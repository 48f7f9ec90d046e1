"""`tools/quietly.sh`: one line for a command that succeeds, its whole output if it fails."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.processes

QUIETLY: Final = Path(__file__).parents[2] / "tools" / "quietly.sh"


def quietly(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [QUIETLY, "Working", "sh", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


def test_success_is_one_line() -> None:
    done = quietly("echo noise; echo warning >&2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Working … done in ")
    assert done.stdout.count("\n") == 1


def test_failure_shows_the_whole_output_and_keeps_the_status() -> None:
    done = quietly("echo noise; echo reason >&2; exit 3")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "Working … failed\nnoise\nreason\n"
