"""Aims: bounds of measured values, and the table that says which are met."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.tables import number, table

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Verdict:
    """A measured value beside its bound."""

    title: str
    measured: str
    bound: str
    met: bool

    def __str__(self) -> str:
        return f"{self.bound}: {'met' if self.met else 'not met'}"


def at_most(title: str, value: float, bound: float, unit: str) -> Verdict:
    """Return the verdict on a value with an upper bound."""
    return Verdict(title, f"{number(value)} {unit}", f"<= {bound:g} {unit}", value <= bound)


def at_least(title: str, value: float, bound: float, unit: str) -> Verdict:
    """Return the verdict on a value with a lower bound."""
    return Verdict(title, f"{number(value)} {unit}", f">= {bound:g} {unit}", value >= bound)


def verdicts(found: Sequence[Verdict]) -> str:
    """Return the table of all aims that this run measured."""
    rows = [[one.title, one.measured, one.bound, "met" if one.met else "not met"] for one in found]
    return table([["aim", "measured", "bound", "verdict"], *rows])
