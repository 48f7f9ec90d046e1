"""Launcher of programs that end with their parent: `python -m imagegateway.stack.die_with_parent PROGRAM [ARG …]`.

Linux sends this process SIGTERM when its parent dies, also after exec. So even `kill -9` of the process manager
leaves no orphan.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with_parent(parent: int) -> None:
    """Request SIGTERM at the death of the parent, `parent` by its process id. Exit if it is dead already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("the parent process is dead")


if __name__ == "__main__":
    die_with_parent(os.getppid())
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606  replacing this process is the purpose
