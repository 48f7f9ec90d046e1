"""Durations and dates in requests, such as `24h` and `2027-01-01`."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import Final

from imagegateway.platform.errors import invalid

_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LATEST: Final = (1 << 32) - 1
"""Last time that the API can show, in Unix seconds: in the year 2106."""


def seconds_of(text: str, field: str, longest: int) -> int:
    """Return a duration in seconds. Raises GatewayError INVALID_VALUE naming the field."""
    found = _DURATION.fullmatch(text)
    seconds = int(found[1]) * _SECONDS[found[2]] if found else longest + 1
    if seconds > longest:
        raise invalid(field, f"{field} must be a duration such as 30s, 15m, 24h or 30d, of {longest} s at most.")
    return seconds


def end_of(text: str, field: str, now: float) -> int:
    """Return the time in Unix seconds that a duration from now, or a date (00:00 UTC), names.

    Raises GatewayError INVALID_VALUE naming the field, also for a time that is not in the future.
    """
    end = 0
    if _DATE.fullmatch(text):
        try:
            end = int(datetime.combine(date.fromisoformat(text), time(), UTC).timestamp())
        except ValueError:
            raise invalid(field, f"{field}: there is no date {text}.") from None
    elif found := _DURATION.fullmatch(text):
        end = int(now) + int(found[1]) * _SECONDS[found[2]]
    else:
        raise invalid(field, f"{field} must be a duration such as 30s, 24h or 30d, or a date such as 2027-01-01.")
    check_end(end, field, now)
    return end


def check_end(end: int, field: str, now: float) -> None:
    """Raise GatewayError INVALID_VALUE naming the field for a time that is not in the future, or after 2106."""
    if not now < end <= _LATEST:
        raise invalid(field, f"{field} must be in the future, and before the year 2106.")
