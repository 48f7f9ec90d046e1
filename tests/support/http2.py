"""HTTP/2 in clear text, by frames: which frames a response consists of, where clients hide them."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_INITIAL_WINDOW_SIZE: Final = 4
_LARGEST_WINDOW: Final = 2**31 - 1
_STREAM: Final = 1


@dataclass
class Http2Response:
    """Response to one request."""

    header_blocks: int = 0
    """Blocks of headers: 1, and another one for trailers."""
    pieces: list[bytes] = field(default_factory=list)
    """DATA frames."""

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


def ask(port: int, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Http2Response:
    """Send one request on a new connection, and return the whole response."""
    response = Http2Response()
    for kind, payload in answer_frames(port, method, path, headers, body):
        if kind == _HEADERS:
            response.header_blocks += 1
        elif kind == _DATA:
            response.pieces.append(payload)
    return response


def answer_frames(
    port: int, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> Iterator[tuple[int, bytes]]:
    """Send one request, and yield the type and payload of each frame of HEADERS and DATA, as they come.

    Raises ConnectionError for a stream that does not end.
    """
    pseudo = {":method": method, ":scheme": "http", ":path": path, ":authority": f"127.0.0.1:{port}"}
    block = b"".join(_literal(name, value) for name, value in {**pseudo, **headers}.items())
    windows = struct.pack(">HI", _INITIAL_WINDOW_SIZE, _LARGEST_WINDOW)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, windows)
            + _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _LARGEST_WINDOW - 65_535))
            + _frame(_HEADERS, _END_HEADERS | (0 if body else _END_STREAM), _STREAM, block)
            + (_frame(_DATA, _END_STREAM, _STREAM, body) if body else b"")
        )
        with connection.makefile("rb") as incoming:
            while head := incoming.read(9):
                length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
                payload = incoming.read(length)
                if kind == _SETTINGS and not flags & _ACK:
                    connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
                elif kind in {_RST_STREAM, _GOAWAY}:
                    break
                elif kind in {_HEADERS, _DATA}:
                    yield kind, payload
                    if flags & _END_STREAM:
                        return
    raise ConnectionError("the response has no end")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _literal(name: str, value: str) -> bytes:
    """Return a field of HPACK without index and Huffman code."""
    return b"\x00" + _text(name) + _text(value)


def _text(text: str) -> bytes:
    data = text.encode()
    length = len(data)
    if length < 127:
        return bytes([length]) + data
    rest, prefix = length - 127, bytearray([127])
    while rest >= 128:
        prefix.append(rest % 128 | 128)
        rest //= 128
    return bytes(prefix) + bytes([rest]) + data
