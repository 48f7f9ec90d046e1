"""Byte ranges of the `Range` header (RFC 9110, section 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_SINGLE: Final = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)


class Unsatisfiable(Exception):  # noqa: N818  named after its status in RFC 9110
    """The range begins after the last byte."""


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a file."""

    start: int
    """First byte, from 0."""
    length: int
    """Bytes, at least 1."""


def requested(header: str | None, size: int) -> Span | None:
    """Return the requested span of a file of `size` bytes. None: the whole file.

    Malformed headers, other units and several ranges also return None: a server may ignore them.
    Raises Unsatisfiable.
    """
    match = _SINGLE.fullmatch(header or "")
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise Unsatisfiable
    return Span(start, end - start)
