"""Peak memory of processes while a test runs."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psutil  # type: ignore[import-untyped]  # ships no types

MIB: Final = 1024 * 1024


@dataclass(slots=True)
class Peak:
    """The highest measured memory in bytes."""

    bytes: int = 0


@contextmanager
def watching(processes: list[psutil.Process]) -> Iterator[Peak]:
    """Sample the total resident memory of processes during the test."""
    peak = Peak()
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.02):
            peak.bytes = max(peak.bytes, sum(process.memory_info().rss for process in processes))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()
