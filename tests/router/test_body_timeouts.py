"""Timeout of slow request bodies, with tolerance for slow networks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest
from imagegateway.platform.errors import GatewayError
from imagegateway.router.request_body import TimedPieces

from tests.router.clock import SkippingLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

MIB: Final = 1024 * 1024


async def sent(pieces: Iterable[tuple[float, int]]) -> AsyncIterator[bytes]:
    """Yield pieces of the given sizes, each after the given seconds."""
    for seconds, size in pieces:
        await asyncio.sleep(seconds)
        yield bytes(size)


def receive(pieces: Iterable[tuple[float, int]], busy: float = 0.0) -> tuple[int, float, bool]:
    """Return how many bytes came, the seconds that it took, and whether the body was ended. `busy`: seconds that the
    reader takes for each piece.
    """

    async def read() -> tuple[int, float, bool]:
        size = 0
        try:
            async for piece in TimedPieces(sent(pieces), len):
                size += len(piece)
                await asyncio.sleep(busy)
        except GatewayError:
            return size, asyncio.get_running_loop().time(), True
        return size, asyncio.get_running_loop().time(), False

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(read())


def test_25_mib_at_1_mbit_a_second_pass() -> None:
    piece = 125_000
    size, seconds, ended = receive([(1.0, piece)] * (25 * MIB // piece))
    assert (size > 24 * MIB, seconds > 200, ended) == (True, True, False)


def test_largest_form_at_1_mbit_a_second_passes() -> None:
    assert not receive([(10.0, 1_250_000)] * 350)[2]


def test_dripping_body_times_out_within_a_minute() -> None:
    _, seconds, ended = receive([(20.0, 1)] * 100)
    assert ended
    assert seconds <= 60


@pytest.mark.parametrize("before", [0, 1, 20 * MIB])
def test_stalled_body_times_out_within_a_minute(before: int) -> None:
    size, seconds, ended = receive([(0.0, before), (1e6, 1)])
    assert (size, ended) == (before, True)
    assert seconds <= 60


def test_reader_time_does_not_count() -> None:
    assert not receive([(1.0, 1000)] * 30, busy=60.0)[2]
