"""Entity tags of jobs, and the condition If-None-Match."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from imagegateway.jobs.stream import Entry

_OPAQUE: Final = re.compile(r'"[^"]*"')


def etag(entry: Entry) -> str:
    """Return the entity tag of a job's record."""
    return f'"{entry.seq}"'


def matches(if_none_match: str, tag: str) -> bool:
    """Return True when the header names `tag`: by the weak comparison, in a list, or by `*` (RFC 9110, 13.1.2)."""
    return if_none_match.strip() == "*" or tag in _OPAQUE.findall(if_none_match)
