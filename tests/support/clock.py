"""Clock that a test sets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Clock:
    """Clock that stands still at `now`, in seconds, until the test changes it."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now
