"""Durations and counts of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Scale:
    """Durations in seconds, and counts."""

    rounds: int
    """Measurements of each line of the tables of requests."""
    window: float
    """Length of one such measurement."""
    seconds: float
    """Length of each other measurement."""
    settle: float
    """Pause before a measurement of an idle stack, and until slow calls reach their provider."""
    starts: int
    """Warm starts."""
    jobs: int
    """Jobs of the latency measurement."""
    held: int
    """Jobs that wait at their provider."""
    slow: int
    """Calls in flight beside a quick one."""
    subscribers: int
    records: int
    """Job records of the lists and of the expiry."""
    parts: int = 4
    """Measurements of jobs on parts of the chain."""
    stacks: int = 4
    """Measurements of jobs on a whole chain each."""


FULL: Final = Scale(
    rounds=3,
    window=3.0,
    seconds=4.0,
    settle=5.0,
    starts=3,
    jobs=250,
    held=10_000,
    slow=500,
    subscribers=10_000,
    records=300_000,
)
QUICK: Final = Scale(
    rounds=1,
    window=1.5,
    seconds=2.0,
    settle=5.0,
    starts=1,
    jobs=75,
    held=1_000,
    slow=500,
    subscribers=1_000,
    records=30_000,
)
SMOKE: Final = Scale(
    rounds=1,
    window=0.3,
    seconds=0.3,
    settle=0.3,
    starts=1,
    jobs=10,
    held=50,
    slow=20,
    subscribers=40,
    records=2_000,
    parts=1,
    stacks=1,
)
