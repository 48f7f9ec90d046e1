"""CPU work on bytes: in the event loop for a few bytes, in a thread for many."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, TypeVar

from imagegateway.platform.worker_threads import WorkerThreads

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

INLINE_BYTES: Final = 32 * 1024
"""Most bytes that are worked on in the event loop: hashing them or walking through them takes less than the way to a
thread and back, and at worst, for an image of empty chunks alone, a few milliseconds.
"""
_THREADS: Final = WorkerThreads(os.cpu_count() or 1, "cpu-work")


async def run_sized(size: int, work: Callable[[], T]) -> T:
    """Return the result of `work`, whose time is proportional to `size` bytes. Raises the errors of `work`."""
    return work() if size <= INLINE_BYTES else await _THREADS.run(work)
