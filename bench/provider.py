"""Stub of OpenAI's Images API: `python -m bench.provider PORT FOLDER`.

FOLDER contains two images. A prompt with the word `large` gets that image, a prompt with `slow` gets no response, any
other gets `small`. The stub reads the whole request first, with any framing.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import signal
import sys
from pathlib import Path
from typing import Final, cast

import uvloop

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WANTED: Final = b"a large "
_UNANSWERED: Final = b"a slow "
_END: Final = b"\r\n\r\n"
_SEARCHED: Final = 4096
"""Bytes at each end of a body that are searched for the prompt."""
_USAGE: Final = {
    "input_tokens": 20,
    "output_tokens": 1056,
    "total_tokens": 1076,
    "input_tokens_details": {"text_tokens": 20, "image_tokens": 0},
}


class _Peer(asyncio.Protocol):
    def __init__(self, answers: dict[str, bytes]) -> None:
        self._answers = answers
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._tail = b""
        self._left = -1
        """Remaining bytes of the request's body; -1 during the head; -2 during chunks."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._left == -1:
            self._head += data
            end = self._head.find(_END)
            if end < 0:
                return
            length = _LENGTH.search(self._head, 0, end)
            self._left = int(length[1]) if length else -2
            data = self._head[end + len(_END) :]
            if self._head.startswith(b"GET "):
                self._left = 0
        self._tail = (self._tail + data)[-_SEARCHED:] if len(data) < _SEARCHED else data[-_SEARCHED:]
        if len(self._head) < _SEARCHED:
            self._head += data[:_SEARCHED]
        if self._left >= 0:
            self._left -= len(data)
        if (self._left == 0 or (self._left == -2 and self._tail.endswith(b"0\r\n\r\n"))) and self._transport:
            if _UNANSWERED not in self._head:
                name = "large" if _WANTED in self._head or _WANTED in self._tail else "small"
                self._transport.write(self._answers[name])
            self._head, self._tail, self._left = b"", b"", -1


def _answers(folder: Path) -> dict[str, bytes]:
    head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n"
    found: dict[str, bytes] = {}
    for name in ("large", "small"):
        image = base64.b64encode((folder / name).read_bytes()).decode()
        body = json.dumps({"created": 1_764_000_000, "data": [{"b64_json": image}], "usage": _USAGE}).encode()
        found[name] = head.format(len(body)).encode() + body
    return found


async def _main(port: int, answers: dict[str, bytes]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await loop.create_server(lambda: _Peer(answers), "127.0.0.1", port)
    await stop.wait()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]), _answers(Path(sys.argv[2]))))
