"""Environment variables that processes with images in memory start with."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

GRPC: Final[Mapping[str, str]] = {
    # The event engine passes each event through one more thread.
    "GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener",
}
"""Variables that gRPC reads once, when it is imported. Its forks keep what it has read."""

TUNED: Final[Mapping[str, str]] = {
    **GRPC,
    # glibc keeps freed megabytes, since the kernel would clear each page again for the next image.
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "67108864",
    # Pixels of large images use mapped blocks, which return to the kernel at once: Pillow's default blocks stay below
    # glibc's threshold, and 200 MB would remain after one mask.
    "PILLOW_BLOCK_SIZE": "64m",
}

_MALLOPT: Final = {"MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_MMAP_THRESHOLD_": -3, "MALLOC_ARENA_MAX": -8}
"""glibc's numbers of these variables (`malloc.h`)."""


def tune_allocation() -> None:
    """Set glibc's options in this process and its forks: glibc reads their variables when a program starts."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have no such options
    if mallopt:
        for name, option in _MALLOPT.items():
            mallopt(option, int(TUNED[name]))
