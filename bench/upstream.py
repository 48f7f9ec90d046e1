"""Upstream of the plain proxy: `python -m bench.upstream SOCKET FOLDER` answers POST /<name> with FOLDER/<name>.

It reads the whole request first, as any server would, and does nothing else.
"""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path
from typing import Final, cast

import uvloop

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END: Final = b"\r\n\r\n"


class _Peer(asyncio.BufferedProtocol):
    _shared = memoryview(bytearray(1 << 20))

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._answer = b""
        self._left = -1
        """Remaining bytes of the request's body; -1 during the head."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._shared

    def buffer_updated(self, nbytes: int) -> None:
        if self._left < 0:
            self._head += self._shared[:nbytes]
            end = self._head.find(_END)
            if end < 0:
                return
            length = _LENGTH.search(self._head, 0, end)
            self._left = int(length[1]) if length else 0
            self._answer = self._answers[self._head.split(b" ", 2)[1].removeprefix(b"/")]
            nbytes = len(self._head) - end - len(_END)
        self._left -= nbytes
        if self._left == 0 and self._transport:
            self._transport.write(self._answer)
            self._head, self._left = b"", -1


def _answers(folder: Path) -> dict[bytes, bytes]:
    head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n"
    bodies = {path.name.encode(): path.read_bytes() for path in folder.iterdir()}
    return {name: head.format(len(body)).encode() + body for name, body in bodies.items()}


async def _main(socket: str, answers: dict[bytes, bytes]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await loop.create_unix_server(lambda: _Peer(answers), socket)
    await stop.wait()


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], _answers(Path(sys.argv[2]))))
