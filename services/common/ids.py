"""Ids that sort by time: a prefix and 26 characters of Crockford's base 32 (48 bits of milliseconds, 80 random)."""

from __future__ import annotations

import re
import secrets
import time
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_JOB: Final = re.compile(rf"job_[{_ALPHABET}]{{26}}")


def job() -> str:
    """A new job id: `job_` and 26 characters."""
    return f"job_{_ulid(time.time_ns() // 1_000_000, secrets.randbits(80))}"


def is_job(text: str) -> bool:
    """Whether a text has the form of a job id."""
    return _JOB.fullmatch(text) is not None


def _ulid(milliseconds: int, random: int) -> str:
    value = milliseconds << 80 | random
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))
