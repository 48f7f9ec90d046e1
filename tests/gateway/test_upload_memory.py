"""Large uploads pass in pieces: memory does not grow with their size."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from tests.gateway.inputs import CLOSING, FORM, MAX_FILE, file_part, padded, text_part
from tests.gateway.peak_memory import MIB, watching
from tests.gateway.rest import EDITS, ask

if TYPE_CHECKING:
    from tests.gateway import rest
    from tests.support.stack import Stack

LIMIT: Final = 128 * MIB
UPLOADS: Final = 3


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
