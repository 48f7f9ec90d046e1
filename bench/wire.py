"""HTTP/1.1 response reader of the load generator: finds the end of a response, and keeps its bytes on demand."""

from __future__ import annotations

import re
from typing import Final

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_MAX_HEAD: Final = 65_536
_END: Final = b"\r\n\r\n"


class WireError(Exception):
    """The received bytes are no HTTP/1.1 response that this reader supports."""


class Answer:
    """Reader of one response. Counts body bytes, and keeps them only on demand: copies would dominate the cost."""

    __slots__ = ("_chunked", "_head", "_left", "_line", "body", "length", "status")

    def __init__(self, *, keep: bool) -> None:
        self.status = 0
        self.length = 0
        """Received bytes of the body, without chunk frames."""
        self.body: bytearray | None = bytearray() if keep else None
        self._head = b""
        self._line = b""
        self._left = 0
        """Remaining bytes of the body, or of the chunk with its line end."""
        self._chunked = False

    def feed(self, data: memoryview) -> bool:
        """Process received bytes. Return True if the response is complete. Raises WireError."""
        if not self.status:
            self._head += data
            end = self._head.find(_END)
            if end < 0:
                if len(self._head) > _MAX_HEAD:
                    raise WireError("the answer's head has no end")
                return False
            data = memoryview(self._head)[end + len(_END) :]
            self._begin(self._head[:end])
        return self._take_chunks(data) if self._chunked else self._take(data)

    def _begin(self, head: bytes) -> None:
        if not head.startswith(b"HTTP/1.1 "):
            raise WireError("the answer is not HTTP/1.1")
        self.status = int(head[9:12])
        length = _LENGTH.search(head)
        if length:
            self._left = int(length[1])
        elif _CHUNKED.search(head):
            self._chunked = True
        else:
            raise WireError("the answer has neither length nor chunks")

    def _take(self, data: memoryview) -> bool:
        if len(data) > self._left:
            raise WireError("bytes came after the answer")
        self._count(data)
        self._left -= len(data)
        return not self._left

    def _take_chunks(self, data: memoryview) -> bool:
        while data:
            if not self._left:
                self._line += data
                end = self._line.find(b"\r\n")
                if end < 0:
                    return False
                if end == 0:  # after the last chunk
                    return True
                size = int(self._line[:end].partition(b";")[0], 16)
                data = memoryview(self._line)[end + 2 :]
                self._line = b""
                if size:
                    self._left = size + 2
                continue
            piece = data[: self._left]
            self._count(piece[: max(0, self._left - 2)])
            self._left -= len(piece)
            data = data[len(piece) :]
        return False

    def _count(self, data: memoryview) -> None:
        self.length += len(data)
        if self.body is not None:
            self.body += data
