"""Large uploads pass in pieces: memory does not grow with their size."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.gateway.inputs import CLOSING, FORM, MAX_FILE, file_part, padded, text_part
from tests.gateway.rest import EDITS, ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psutil  # type: ignore[import-untyped]  # ships no types

    from tests.gateway import rest
    from tests.support.stack import Stack

MIB: Final = 1024 * 1024
LIMIT: Final = 128 * MIB
UPLOADS: Final = 3


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


def test_three_uploads_of_75_mb_at_once_grow_router_and_envoy_by_less_than_128_mb(stack: Stack) -> None:
    file = padded(MAX_FILE)
    parts = [*text_part("prompt", "at night"), *(file_part("image[]", file) * 3), CLOSING]
    pieces = [part[start : start + MIB] for part in parts for start in range(0, len(part), MIB)]
    length = str(sum(map(len, pieces)))
    assert int(length) > 75 * MIB

    def upload(_: int) -> rest.Answer:
        return ask(stack, "POST", EDITS, iter(pieces), {**FORM, "content-length": length})

    processes = [stack.running_child("router"), stack.running_child("envoy")]
    before = sum(process.memory_info().rss for process in processes)  # earlier tests' bodies stay with the allocator
    with watching(processes) as peak, ThreadPoolExecutor(UPLOADS) as pool:
        answers = list(pool.map(upload, range(UPLOADS)))
    assert [answer.status for answer in answers] == [200] * UPLOADS, answers[0].body
    assert 0 < peak.bytes < before + LIMIT, f"{(peak.bytes - before) // MIB} MiB"
