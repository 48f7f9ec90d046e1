"""Memory of masks of the largest size: concurrent decodes stay within the router's budget."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from tests.gateway.inputs import CLOSING, FORM, file_part, image_bytes, mask, text_part
from tests.gateway.peak_memory import MIB, watching
from tests.gateway.rest import EDITS, ask
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.gateway import rest
    from tests.support.stack import Stack

SIDE: Final = 7000
"""49 million pixels; 50 million are accepted."""
EDITS_AT_ONCE: Final = 4
"""Two decoded masks at once exceed the limit."""
LIMIT: Final = 500 * MIB
"""Memory of one decoded mask: 6 bytes per pixel, 280 MiB."""
KEPT: Final = 100 * MIB
"""Freed bytes that may stay: the allocator keeps small blocks for later images."""


def test_four_masks_of_49_megapixels_at_once_add_under_500_mib_to_the_router(stack: Stack) -> None:
    image, edited = image_bytes(SIDE, SIDE), mask(SIDE, SIDE)
    body = b"".join(
        [
            *text_part("prompt", "at night"),
            *text_part("model", "local/sketch"),
            *file_part("image", image),
            *file_part("mask", edited),
            CLOSING,
        ]
    )

    def edit(_: int) -> rest.Answer:
        return ask(stack, "POST", EDITS, body, {**FORM, "prefer": "respond-async"})

    router = stack.running_child("router")
    before = router.memory_info().rss
    with watching([router]) as peak, ThreadPoolExecutor(EDITS_AT_ONCE) as pool:
        answers = list(pool.map(edit, range(EDITS_AT_ONCE)))
    statuses = {answer.status for answer in answers}
    assert 202 in statuses, answers[0].body
    assert statuses <= {202, 503}
    assert peak.bytes - before < LIMIT, f"{(peak.bytes - before) // MIB} MiB"
    eventually(lambda: router.memory_info().rss - before < KEPT, 10, "the memory of the masks is given back")
