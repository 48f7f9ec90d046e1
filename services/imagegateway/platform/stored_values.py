"""Stored values from NATS. Other programs may have written them, so form and types are checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeVar

from imagegateway.platform import logs

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_INTEGER: Final = 1 << 40
_T = TypeVar("_T")
_log = logs.get(__name__)


class StoredObject:
    """Stored JSON object. The methods raise ValueError for a value of another type."""

    def __init__(self, value: object) -> None:
        """Raise ValueError for a decoded value that is no JSON object."""
        if not isinstance(value, dict):
            raise ValueError("no JSON object")
        self._fields: dict[str, object] = value

    @classmethod
    def parse(cls, data: bytes) -> StoredObject:
        """Return the object in bytes. Raises ValueError for bytes that are no JSON object."""
        try:
            return cls(json.loads(data))
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string. An absent one without a default raises ValueError."""
        value = self._fields.get(name, default)
        if not isinstance(value, str):
            raise ValueError(f"{name} is no string")
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        """Return an integer from 0 to 2^40, such as Unix seconds."""
        value = self._fields.get(name, default)
        if type(value) is not int or not 0 <= value <= _MAX_INTEGER:
            raise ValueError(f"{name} is no integer in range")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings, empty if absent."""
        values = self._fields.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise ValueError(f"{name} is no list of strings")
        return tuple(values)

    def object(self, name: str) -> StoredObject:
        """Return an object, empty if absent."""
        return StoredObject(self._fields.get(name, {}))


class Decoder:
    """Decoder of the values of one bucket or stream. Skips, counts and logs unreadable values."""

    def __init__(self, place: str) -> None:
        self._place = place
        self.skipped = 0
        """Number of unreadable values so far."""

    def decode(self, key: str, value: bytes, read: Callable[[str, bytes], _T]) -> _T | None:
        """Return `read(key, value)`. Log a ValueError, and return None."""
        try:
            return read(key, value)
        except ValueError as error:
            self.skipped += 1
            # Not the error's text: it may quote the value.
            _log.error(
                "stored_value_skipped",
                place=self._place,
                key=key,
                error=type(error).__name__,
                skipped=self.skipped,
            )
            return None
