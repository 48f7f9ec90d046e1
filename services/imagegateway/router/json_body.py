"""Parser of JSON bodies. Limits are checked before any value is built."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson
from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_VALUES: Final = 10_000
"""Maximum number of values, over all levels. A request has some dozens."""
_MAX_QUOTES: Final = 50_000
_MAX_WIDE: Final = 1024 * 1024
"""Maximum size of all strings together that are not ASCII: Python stores their characters in up to 4 bytes each."""
_WIDE_ESCAPE: Final = re.compile(rb"\\u(?!00[0-7])")
"""An escape of a character that is not ASCII. Some encoders write the "+" of base64 as `\\u002B`."""
_COLON: Final = re.compile(rb"[ \t\r\n]*+:")
_BLOCK: Final = 1024
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

_Span: TypeAlias = tuple[int, int]
"""Start and end of a part of the body."""


def parse(body: bytearray) -> dict[str, Any]:
    """Return the fields of a JSON object. An empty body counts as `{}`. Removes a byte order mark from `body`.

    Raises GatewayError: INVALID_JSON; INVALID_VALUE for any other value, and for a field that comes twice;
    REQUEST_TOO_LARGE for too many values.
    """
    if body.startswith(_BYTE_ORDER_MARK):
        del body[: len(_BYTE_ORDER_MARK)]
    if not body or body.isspace():
        return {}
    values = parse_value(body)
    if not isinstance(values, dict):
        raise invalid("body", "The body must be a JSON object.")
    return values


def parse_value(text: bytearray) -> Any:
    """Return a JSON value. Raises GatewayError as `parse` does, but accepts any value."""
    # Each value has a byte at least, and each name a colon: most bodies need no outline.
    outline = _Outline.of(text) if len(text) > MAX_VALUES else None
    value, refusal = _load(text)
    if refusal:
        raise GatewayError(ErrorReason.ERROR_REASON_INVALID_JSON, refusal)
    if isinstance(value, dict) and text.count(b":") > len(value):
        names = (outline or _Outline.of(text)).names
        if len(names) > len(value):
            name = _first_duplicate(text, names)
            raise invalid(name, f"{name} is sent twice.")
    return value


def _load(body: bytearray) -> tuple[Any, str]:
    """Return the value, or a sentence about the syntax error.

    orjson's error holds the whole body, and would stay in memory as the context of a GatewayError.
    """
    try:
        return orjson.loads(body), ""
    except orjson.JSONDecodeError as error:
        return None, _sentence(error)


def _sentence(error: orjson.JSONDecodeError) -> str:
    if error.msg.startswith("str is not valid UTF-8"):
        return "The body is not UTF-8 text."
    return f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})."


def _first_duplicate(body: bytearray, names: Iterable[_Span]) -> str:
    seen: set[str] = set()
    for start, end in names:
        name: str = orjson.loads(b'"%s"' % body[start:end])
        if name in seen:
            return name[:100]
        seen.add(name)
    raise AssertionError("every name is there once")


@dataclass(slots=True)
class _Outline:
    """Outline of JSON, read without building values: names of the outermost object, and the number of values.

    Reading copies only small blocks of the text.
    """

    names: list[_Span] = field(default_factory=list)
    """Positions of the names, without quotes."""
    _values: int = 0
    _depth: int = 0
    _wide: int = 0

    @classmethod
    def of(cls, body: bytearray) -> _Outline:
        """Return the outline of a body. It is wrong only after a syntax error.

        Raises GatewayError REQUEST_TOO_LARGE for too many values, and for long strings that are not ASCII.
        """
        outline = cls()
        may_be_wide = not body.isascii() or b"\\u" in body
        string: _Span = (0, 0)
        inside, start, at = False, 0, -1
        for _ in range(_MAX_QUOTES):
            at = body.find(b'"', at + 1)
            if at < 0:
                if not inside:
                    outline._between(body, string, (start, len(body)))
                return outline
            if not inside:
                outline._between(body, string, (start, at))
            elif _is_escaped(body, at, start):
                continue
            else:
                string = (start, at)
                if may_be_wide:
                    outline._string(body, string)
            inside, start = not inside, at + 1
        raise _too_large()

    def _between(self, body: bytearray, before: _Span, part: _Span) -> None:
        """Count the text between the string `before` and the next one."""
        if self._depth == 1 and _COLON.match(body, *part):
            self.names.append(before)
        opened = body.count(b"{", *part) + body.count(b"[", *part)
        self._depth += opened - body.count(b"}", *part) - body.count(b"]", *part)
        self._values += opened + body.count(b",", *part)
        if self._values > MAX_VALUES:
            raise _too_large()

    def _string(self, body: bytearray, string: _Span) -> None:
        """Count a string that is not ASCII. Raises GatewayError REQUEST_TOO_LARGE."""
        if _is_wide(body, *string):
            start, end = string
            self._wide += end - start
            if self._wide > _MAX_WIDE:
                raise GatewayError(
                    ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE,
                    "The texts in the body that are not ASCII exceed 1 MiB.",
                )


def _is_escaped(body: bytearray, quote: int, start: int) -> bool:
    """Return True if an odd number of backslashes precedes a quote, from `start` on."""
    at = quote
    while at > start:
        block = body[max(start, at - _BLOCK) : at]
        other = len(block.rstrip(b"\\"))
        at -= len(block) - other
        if other:
            break
    return (quote - at) % 2 == 1


def _is_wide(body: bytearray, start: int, end: int) -> bool:
    """Return True if a string has characters that are not ASCII, literally or as escapes."""
    blocks = range(start, end, _BLOCK * _BLOCK)
    return (
        not all(body[at : min(at + _BLOCK * _BLOCK, end)].isascii() for at in blocks)
        or _WIDE_ESCAPE.search(body, start, end) is not None
    )


def _too_large() -> GatewayError:
    return GatewayError(ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE, f"The body has over {MAX_VALUES} values.")
