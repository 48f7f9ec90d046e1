"""What this machine allows: memory, and open files."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

_CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


def memory() -> int:
    """Return the bytes of memory that processes may use: the machine's, or the container's if that is less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no container, or "max"
        return min(physical, int(_CGROUP_LIMIT.read_text()))
    return physical


def quarter_of_memory() -> int:
    """Return a quarter of that memory in MiB, from 512 to 4096."""
    return min(max(memory() // 4 // 1024**2, 512), 4096)


def open_files() -> int:
    """Return how many files a child process may have open: the hard limit (`ulimit -Hn`), to which the soft one is
    raised.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
