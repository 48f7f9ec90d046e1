"""The marker `processes`: set by fixtures and folders, and demanded of each test that starts a process."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import MARKER

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.run([sys.executable, "-c", ""], check=True),
        lambda: os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}),
        lambda: os.waitpid(os.fork() or os._exit(0), 0),
    ],
    ids=["subprocess", "posix_spawn", "fork"],
)
def test_start_of_a_process_without_the_marker_fails(start: Callable[[], object]) -> None:
    with pytest.raises(pytest.fail.Exception, match=f"without the marker `{MARKER}`"):
        start()


@pytest.mark.processes
def test_start_of_a_process_with_the_marker_is_allowed() -> None:
    subprocess.run([sys.executable, "-S", "-c", ""], check=True)
