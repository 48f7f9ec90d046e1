"""Run a program that must not outlive its parent: `python -m imagegateway.stack.die_with_parent PROGRAM [ARG …]`.

Linux sends this process SIGTERM when its parent dies, and keeps that promise over exec; so even a kill -9 of the
process manager leaves no orphan.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def tie() -> None:
    """Ask for SIGTERM at the parent's death. Ends the process when the parent is gone already."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("the parent process is gone")


if __name__ == "__main__":
    tie()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606  becoming the program is the point
