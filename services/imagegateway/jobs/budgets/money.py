"""Money as whole nano-dollars (1e-9 US dollars), so that sums are exact."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from imagegateway.v1.job_pb2 import Cost

NANO: Final = 1_000_000_000
"""Nano-dollars of a US dollar."""


def nanodollars(cost: Cost) -> int:
    """Return the amount of a cost."""
    return round(cost.amount * NANO)


def usd(amount: int) -> str:
    """Return an amount as a decimal number of US dollars, such as `0.04`."""
    return f"{(Decimal(amount) / NANO).normalize():f}"
