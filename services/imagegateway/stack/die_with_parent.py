"""Launcher of programs that end with their parent: `python -m imagegateway.stack.die_with_parent PROGRAM [ARG …]`.

Linux sends this process SIGTERM when its parent dies, also after exec. So even `kill -9` of the process manager
leaves no orphan.

`-m MODULE [ARG …]` runs a Python module in this process. Garbage collection is off until the module enables it, since
imports make 100,000 objects and hardly any garbage.
"""

from __future__ import annotations

import ctypes
import gc
import os
import runpy
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with_parent() -> None:
    """Request SIGTERM at the parent's death. Exit if the parent is dead already."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("the parent process is dead")


if __name__ == "__main__":
    die_with_parent()
    if sys.argv[1] == "-m":
        del sys.argv[:2]
        gc.disable()
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        sys.exit()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606  replacing this process is the purpose
