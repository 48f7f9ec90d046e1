"""Ids of jobs, audit events and requests.

Ids of jobs and audit events sort by time: a prefix and 26 characters of Crockford's base 32 (48 bits of milliseconds,
80 random).
"""

from __future__ import annotations

import re
import secrets
from typing import Final

from imagegateway.platform.clock import unix_millis

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
JOB_PATTERN: Final = "job_[0-9a-hjkmnp-tv-z]{26}"
"""Regular expression of a job id."""
_JOB: Final = re.compile(JOB_PATTERN)
REQUEST_ID_CHARACTERS: Final = "A-Za-z0-9._:/+=-"
"""Characters of a request id, as a class in regular expressions and in Lua's patterns: Envoy's hooks use it, too."""
REQUEST_ID_MAX_LENGTH: Final = 128
_REQUEST: Final = re.compile(rf"[{REQUEST_ID_CHARACTERS}]{{1,{REQUEST_ID_MAX_LENGTH}}}")


def job() -> str:
    """Return a new job id: `job_` and 26 characters."""
    return f"job_{_ulid(unix_millis(), secrets.randbits(80))}"


def audit_event() -> str:
    """Return a new id of an audit event: `audit_` and 26 characters."""
    return f"audit_{_ulid(unix_millis(), secrets.randbits(80))}"


def is_job(text: str) -> bool:
    """Return True for a text in the form of a job id."""
    return _JOB.fullmatch(text) is not None


def request_id(given: str) -> str:
    """Return the caller's request id where it is well-formed, else a new one."""
    return given if _REQUEST.fullmatch(given) else f"req_{secrets.token_hex(12)}"


def _ulid(milliseconds: int, random: int) -> str:
    value = milliseconds << 80 | random
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])
