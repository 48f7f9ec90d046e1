"""The wall clock in the unit that records use."""

from __future__ import annotations

import time


def unix_millis() -> int:
    """Return the current time in Unix milliseconds."""
    return time.time_ns() // 1_000_000
