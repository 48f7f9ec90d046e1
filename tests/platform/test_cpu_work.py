"""CPU work on bytes: the thread that runs it, by the number of bytes."""

from __future__ import annotations

import threading

import pytest
from imagegateway.platform.cpu_work import INLINE_BYTES, run_sized


async def test_few_bytes_are_worked_on_in_the_event_loop_and_many_in_a_thread() -> None:
    assert await run_sized(INLINE_BYTES, threading.current_thread) is threading.current_thread()
    assert await run_sized(INLINE_BYTES + 1, threading.current_thread) is not threading.current_thread()


@pytest.mark.parametrize("size", [1, INLINE_BYTES + 1])
async def test_error_of_the_work_is_raised(size: int) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await run_sized(size, lambda: int("x"))
