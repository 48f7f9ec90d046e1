"""Parser of JSON bodies. Limits are checked before any value is built."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson
from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_VALUES: Final = 10_000
"""Maximum number of values, over all levels. A request has some dozens."""
_MAX_QUOTES: Final = 50_000
_LONG: Final = 1024 * 1024
"""Length in bytes above which a string must be ASCII: Python stores other characters in up to 4 bytes each."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def parse(body: bytearray) -> dict[str, Any]:
    """Return the fields of a JSON object. An empty body counts as `{}`. Removes a byte order mark from `body`.

    Raises GatewayError: INVALID_JSON; INVALID_VALUE for any other value, and for a field that comes twice;
    REQUEST_TOO_LARGE for too many values.
    """
    if body.startswith(_BYTE_ORDER_MARK):
        del body[: len(_BYTE_ORDER_MARK)]
    if not body or body.isspace():
        return {}
    outline = _Outline.of(body)
    values, refusal = _load(body)
    if refusal:
        raise GatewayError(ErrorReason.ERROR_REASON_INVALID_JSON, refusal)
    if not isinstance(values, dict):
        raise invalid("body", "The body must be a JSON object.")
    if len(outline.names) > len(values):
        name = _first_duplicate(outline.names)
        raise invalid(name, f"{name} is sent twice.")
    return values


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


def _first_duplicate(names: Iterable[bytearray]) -> str:
    seen: set[str] = set()
    for quoted in names:
        name: str = orjson.loads(b'"%s"' % quoted)
        if name in seen:
            return name[:100]
        seen.add(name)
    raise AssertionError("every name is there once")


@dataclass(slots=True)
class _Outline:
    """Outline of JSON, read without building values: names of the outermost object, and the number of values."""

    names: list[bytearray] = field(default_factory=list)
    """Names as written, without quotes."""
    _values: int = 0
    _depth: int = 0

    @classmethod
    def of(cls, body: bytearray) -> _Outline:
        """Return the outline of a body. It is wrong only after a syntax error.

        Raises GatewayError REQUEST_TOO_LARGE for too many values, and for a long string that is not ASCII.
        """
        outline = cls()
        parts = body.split(b'"', _MAX_QUOTES)
        if len(parts) > _MAX_QUOTES:
            raise _too_large()
        string: list[bytearray] | None = None
        closed: list[bytearray] = []
        for part in parts:
            if string is None:
                outline._between(closed, part)
                string = []
                continue
            string.append(part)
            if (len(part) - len(part.rstrip(b"\\"))) % 2 == 0:  # the next quote is not escaped: it ends the string
                if sum(map(len, string)) > _LONG and not all(map(bytearray.isascii, string)):
                    raise GatewayError(
                        ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE, "A text in the body is over 1 MiB."
                    )
                closed, string = string, None
        return outline

    def _between(self, before: list[bytearray], part: bytearray) -> None:
        """Count the text between two strings. `before`: the string before it."""
        if self._depth == 1 and part.lstrip().startswith(b":"):
            self.names.append(bytearray(b'"').join(before))
        opened = part.count(b"{") + part.count(b"[")
        self._depth += opened - part.count(b"}") - part.count(b"]")
        self._values += opened + part.count(b",")
        if self._values > MAX_VALUES:
            raise _too_large()


def _too_large() -> GatewayError:
    return GatewayError(ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE, f"The body has over {MAX_VALUES} values.")
