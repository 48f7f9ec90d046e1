"""Values as providers tell and take them: answers are not trusted with their types, forms know texts only."""

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
"""Longest wait of a provider that is believed and passed on, in seconds."""


def seed_of(value: Any) -> int | None:
    """A seed as providers tell it, a number or its digits; None for what is none of 32 bits."""
    if isinstance(value, str) and _SEED.fullmatch(value):
        value = int(value)
    return value if type(value) is int and 0 <= value < 1 << 32 else None


def text_of(value: Any) -> str:
    """A text of an answer; empty for anything else."""
    return value if isinstance(value, str) else ""


def whole_of(value: Any) -> int | None:
    """A whole number of at most nine digits, or these digits as text; None for anything else."""
    return int(value) if _WHOLE.fullmatch(str(value)) else None


def decimal_of(text: str) -> float | None:
    """A decimal number below 1e9 without sign or exponent; None for any other text."""
    return float(text) if _DECIMAL.fullmatch(text) else None


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Seconds, at most 1 h, that `retry-after-ms` or `Retry-After` names; a date there counts from the answer's own
    `Date`. None without, and for a date that has passed.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        seconds = decimal_of(headers.get(name, ""))
        if seconds is not None:
            return min(seconds * unit, LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(headers["retry-after"]) - parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    return min(until.total_seconds(), LONGEST_WAIT) if until.total_seconds() > 0 else None


def form_fields(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Values as text parts of a multipart request: lists as repeated parts, objects as JSON, None left out."""
    return tuple(
        (name, _text(item))
        for name, value in values.items()
        for item in (value if isinstance(value, list | tuple) else [value])
        if item is not None
    )


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)  # true and false, numbers, objects
