"""Parsing of provider values, whose types are not trusted, and encoding of form fields, which are text only."""

from __future__ import annotations

import json
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_DECIMAL: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,18})?")
_WHOLE: Final = re.compile(r"[0-9]{1,9}")
_SEED: Final = re.compile(r"[0-9]{1,10}")
LONGEST_WAIT: Final = 3600.0
"""Longest wait, in seconds, that a provider can request; longer ones are cut to it."""


def parse_seed(value: Any) -> int | None:
    """Return a seed from a number or its digits; None for a value that is no 32-bit seed."""
    if isinstance(value, str) and _SEED.fullmatch(value):
        value = int(value)
    return value if type(value) is int and 0 <= value < 1 << 32 else None


def parse_text(value: Any) -> str:
    """Return a text; empty for a value of another type."""
    return value if isinstance(value, str) else ""


def parse_whole_number(value: Any) -> int | None:
    """Return a whole number of at most nine digits, also from its digits as text; None for any other value."""
    return int(value) if _WHOLE.fullmatch(str(value)) else None


def parse_decimal(text: str) -> float | None:
    """Return a decimal number below 1e9 without sign or exponent; None for any other text."""
    return float(text) if _DECIMAL.fullmatch(text) else None


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds, at most 1 h, in `retry-after-ms` or `Retry-After`; a date counts from the `Date` header.

    None without such a header, and for a date in the past.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        seconds = parse_decimal(headers.get(name, ""))
        if seconds is not None:
            return min(seconds * unit, LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(headers["retry-after"]) - parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    return min(until.total_seconds(), LONGEST_WAIT) if until.total_seconds() > 0 else None


def form_fields(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return values as text parts of a multipart request: lists as repeated parts, objects as JSON, None left out."""
    return tuple(
        (name, _form_text(item))
        for name, value in values.items()
        for item in (value if isinstance(value, list | tuple) else [value])
        if item is not None
    )


def _form_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)  # true and false, numbers, objects
