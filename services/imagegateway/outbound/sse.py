"""Parser of server-sent events.

Source: WHATWG HTML, "Server-sent events", read 2026-11-25. Lines end in LF or CRLF. A lone CR does not end a
line, unlike in the standard.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_FIELD: Final = b"data:"


@dataclass(slots=True)
class Parser:
    """Incremental parser: returns the data of complete events. Names, ids and comments are ignored."""

    _rest: bytearray = field(default_factory=bytearray)
    _searched: int = 0
    _data: list[bytes] = field(default_factory=list)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that these bytes complete."""
        self._rest += chunk
        events: list[bytes] = []
        start = 0
        while (end := self._rest.find(b"\n", max(start, self._searched))) >= 0:
            events.extend(self._line(bytes(self._rest[start:end]).removesuffix(b"\r")))
            start = end + 1
        del self._rest[:start]
        self._searched = len(self._rest)
        return events

    def end(self) -> list[bytes]:
        """Return the last event of a stream that ends without an empty line."""
        return self.feed(b"\n\n")

    def _line(self, line: bytes) -> list[bytes]:
        if line.startswith(_FIELD):
            self._data.append(line[len(_FIELD) :].removeprefix(b" "))
        elif not line and self._data:
            event, self._data = b"\n".join(self._data), []
            return [event]
        return []
