"""Requests to stop: SIGINT and SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class StopRequests:
    """Count of received signals. The first stops the stack, the second ends its lame duck."""

    def __init__(self) -> None:
        self.count = 0
        self._received = asyncio.Event()

    def follow_signals(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Count signals from now on. `loop`: the running loop, which they wake."""
        for number in _SIGNALS:
            if loop:
                loop.add_signal_handler(number, self._receive)
            else:
                signal.signal(number, lambda _number, _frame: self._receive())

    async def requested(self, seconds: float, count: int = 1) -> bool:
        """Wait up to `seconds` for `count` signals in all. Return whether they have come."""
        try:
            async with asyncio.timeout(seconds):
                while self.count < count:
                    self._received.clear()
                    await self._received.wait()
        except TimeoutError:
            return False
        return True

    def _receive(self) -> None:
        self.count += 1
        self._received.set()
