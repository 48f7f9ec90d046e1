"""Which bytes a `Range` header asks for (RFC 9110, section 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_SINGLE: Final = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)


class Unsatisfiable(Exception):  # noqa: N818  the status of RFC 9110 that it becomes
    """The range begins after the last byte."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a file."""

    start: int
    """First byte, from 0."""
    length: int
    """Bytes, at least 1."""


def requested(header: str | None, size: int) -> Span | None:
    """The span of a file of `size` bytes that is asked for; None: the whole file.

    Malformed headers, other units and several ranges at once also give None: a server may ignore them.
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
