"""Requests to stop, before and in the event loop."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest
from imagegateway.stack.stop_requests import StopRequests

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signal_before_the_loop_counts_in_it() -> None:
    stop = StopRequests()
    stop.follow_signals()
    os.kill(os.getpid(), signal.SIGTERM)

    async def wait() -> bool:
        stop.follow_signals(asyncio.get_running_loop())
        return await stop.requested(60)

    assert asyncio.run(wait())


async def test_second_signal_ends_the_wait_for_two() -> None:
    stop = StopRequests()
    stop.follow_signals(asyncio.get_running_loop())
    assert not await stop.requested(0.01)
    os.kill(os.getpid(), signal.SIGINT)
    assert await stop.requested(60)
    assert not await stop.requested(0.01, count=2)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await stop.requested(60, count=2)
