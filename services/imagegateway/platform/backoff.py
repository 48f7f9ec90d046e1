"""Exponential backoff between retries of our own parts: NATS and the media store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_SECONDS: Final = 0.2
LONGEST_SECONDS: Final = 5.0


def pauses() -> Iterator[float]:
    """Yield pauses in seconds without end: 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0 …"""
    seconds = FIRST_SECONDS
    while True:
        yield seconds
        seconds = min(2 * seconds, LONGEST_SECONDS)
