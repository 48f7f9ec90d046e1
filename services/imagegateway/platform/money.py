"""Money as whole nano-dollars (1e-9 US dollars), so that sums are exact."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from imagegateway.v1.job_pb2 import Cost

NANO: Final = 1_000_000_000
"""Nano-dollars of a US dollar."""
CURRENCY: Final = "USD"


def usd(amount: str | Decimal) -> int:
    """Return an amount of US dollars in nano-dollars, rounded to the nearest one."""
    return round(Decimal(amount) * NANO)


def decimal_usd(amount: int) -> str:
    """Return nano-dollars as a decimal number of US dollars without an exponent, such as `0.04`."""
    return f"{(Decimal(amount) / NANO).normalize():f}"


def to_cost(amount: int, *, estimated: bool) -> Cost:
    """Return nano-dollars as the public message. The double prints without binary noise."""
    return Cost(amount=amount / NANO, currency=CURRENCY, estimated=estimated)


def nanodollars(cost: Cost) -> int:
    """Return the amount of a cost in nano-dollars."""
    return round(cost.amount * NANO)
