"""Plain tables in Markdown, and the numbers in them."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MB = 1_000_000


def number(value: float) -> str:
    """Return a number with three significant digits, or all digits before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def ratio(value: float, base: float) -> float:
    """Return `value` / `base`, or infinity for a base of zero: an idle process used no tick of the kernel's clock."""
    return value / base if base else math.inf


def spread(values: Iterable[float]) -> str:
    """Return the median and half the range."""
    ordered = sorted(values)
    middle = number(statistics.median(ordered))
    return f"{middle} ±{number((ordered[-1] - ordered[0]) / 2)}" if len(ordered) > 1 else middle


def table(rows: list[list[str]]) -> str:
    """Return a table. The first row is its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
