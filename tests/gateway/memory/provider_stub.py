"""HTTP server of the providers of these tests."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Handler(BaseHTTPRequestHandler):
    """Handler of one connection, without log lines."""

    def send_body(self, body: bytes) -> None:
        """Send a whole response with status 200."""
        self.send_head(len(body))
        self.wfile.write(body)

    def send_head(self, length: int) -> None:
        """Send the head of a response with status 200 and a body of `length` bytes."""
        self.send_response(200)
        self.send_header("content-length", str(length))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
        """Keep the test's output clean."""


@contextmanager
def serving(handler: type[Handler]) -> Iterator[str]:
    """Serve on a free port, and yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
