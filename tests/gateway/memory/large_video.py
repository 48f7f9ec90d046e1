"""Provider with ModelArk's video tasks, whose result is one large video."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from tests.gateway.memory import provider_stub
from tests.gateway.peak_memory import MIB

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

VIDEO: Final = 256 * MIB
_HEAD: Final = b"\x00\x00\x00\x18ftypmp42"
_PIECE: Final = bytes(MIB)


class _Handler(provider_stub.Handler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_body(json.dumps({"id": "task"}).encode())

    def do_GET(self) -> None:
        if self.path != "/video.mp4":
            video = f"http://{self.headers['host']}/video.mp4"
            self.send_body(json.dumps({"status": "succeeded", "content": {"video_url": video}}).encode())
            return
        self.send_head(VIDEO)
        self.wfile.write(_HEAD + _PIECE[len(_HEAD) :])
        for _ in range(VIDEO // MIB - 1):
            self.wfile.write(_PIECE)


def serving() -> AbstractContextManager[str]:
    """Serve it, and yield its address."""
    return provider_stub.serving(_Handler)
