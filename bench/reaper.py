"""Launcher of a program that leaves no process behind: `python -P bench/reaper.py PROGRAM [ARG …]`.

Every orphan among the program's descendants becomes a child of this process, which gets SIGTERM when its parent dies.
So the whole tree ends with the program and with the launcher's parent, whatever kills that: also processes that left
the tree by a second fork, and those of a wrapper that passes no signal on.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Final

import psutil  # type: ignore[import-untyped]  # ships no types
from imagegateway.stack.die_with_parent import die_with_parent

GRACE_SECONDS: Final = 60.0
"""Seconds that the program has to end after SIGTERM."""
_KILL_SECONDS: Final = 10.0
_PR_SET_CHILD_SUBREAPER: Final = 36


def _run(command: list[str]) -> int:
    """Run a program until its end or SIGTERM. Return its exit status."""
    signals, written = os.pipe()
    os.set_blocking(written, False)
    signal.set_wakeup_fd(written)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    process = subprocess.Popen(command)
    while process.poll() is None:
        if os.read(signals, 1)[0] == signal.SIGTERM:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
            break
    return process.returncode or 0


def _kill_descendants() -> None:
    """Kill all descendants. Those of a killed process become children of this one, so look again."""
    until = time.monotonic() + _KILL_SECONDS
    while (left := psutil.Process().children(recursive=True)) and time.monotonic() < until:
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=1)


if __name__ == "__main__":
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    die_with_parent(os.getppid())
    try:
        status = _run(sys.argv[1:])
    finally:
        _kill_descendants()
    sys.exit(status)
