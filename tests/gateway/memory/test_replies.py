"""Many large JSON answers of a provider at once: the providers' process loads no more of them than it may."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from tests.gateway.peak_memory import MIB, watching
from tests.gateway.rest import GENERATIONS, ask

if TYPE_CHECKING:
    from tests.support.stack import Stack

CALLS: Final = 8
GROWTH: Final = 240 * MIB
"""One answer of 32 MiB in three forms, and what the allocator keeps. Without the limit it is 440 MiB."""


def test_memory_of_parallel_answers_is_bounded_and_each_is_kept(stack: Stack) -> None:
    wanted = {"model": "openai/gpt-image-1", "prompt": "a kite", "response_format": "url"}
    providers = stack.running_child("providers")

    def status(_: int) -> int:
        return ask(stack, "POST", GENERATIONS, dict(wanted)).status

    assert status(0) == 200
    before = providers.memory_info().rss
    with watching([providers]) as peak, ThreadPoolExecutor(CALLS) as pool:
        assert list(pool.map(status, range(CALLS))) == [200] * CALLS
    assert peak.bytes - before < GROWTH, f"{(peak.bytes - before) // MIB} MiB"
