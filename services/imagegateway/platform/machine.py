"""Limits of this machine: memory and open files."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

_CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


def memory() -> int:
    """Return the memory that processes may use, in bytes: the smaller of the machine's and the container's."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no container, or "max"
        return min(physical, int(_CGROUP_LIMIT.read_text()))
    return physical


def quarter_of_memory() -> int:
    """Return a quarter of `memory` in MiB, from 512 to 4096."""
    return min(max(memory() // 4 // 1024**2, 512), 4096)


def open_files() -> int:
    """Raise the soft limit of open files to the hard limit (`ulimit -Hn`), and return it for child processes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
