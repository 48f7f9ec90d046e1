"""A webhook receiver in threads of the test process."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNUSED_ADDRESS: Final = "127.0.0.1:9"
"""Address without a listener, as in IMAGEGATEWAY_ALLOW_HOSTS."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One received request."""

    path: str
    headers: dict[str, str]
    """Header names are in lower case."""
    body: bytes
    at: float = field(default_factory=time.time)

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass(slots=True)
class Receiver:
    """Received requests, and response statuses by path: a list whose last entry repeats."""

    host: str
    """Name and port, as IMAGEGATEWAY_ALLOW_HOSTS takes them."""
    answers: dict[str, list[int]] = field(default_factory=dict)
    gates: dict[str, threading.Event] = field(default_factory=dict)
    """Paths whose responses wait until the event is set."""
    deliveries: list[Delivery] = field(default_factory=list)

    def hook(self, path: str, *statuses: int, gate: threading.Event | None = None) -> str:
        """Return the URL of a path that responds with these statuses in order; default 200."""
        self.answers[path] = list(statuses or (200,))
        if gate:
            self.gates[path] = gate
        return f"http://{self.host}{path}"

    def on(self, path: str) -> list[Delivery]:
        return [delivery for delivery in self.deliveries if delivery.path == path]

    def wait(self, path: str, count: int = 1, seconds: float = 60) -> list[Delivery]:
        """Wait for `count` deliveries on a path. Return them."""
        eventually(lambda: len(self.on(path)) >= count, seconds, f"{count} deliveries on {path}")
        return self.on(path)

    def of(self, wanted: Callable[[Delivery], bool]) -> list[Delivery]:
        return [delivery for delivery in self.deliveries if wanted(delivery)]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Serve on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): text for name, text in self.headers.items()}
            receiver.deliveries.append(Delivery(self.path, headers, body))
            gate = receiver.gates.get(self.path)
            if gate:
                gate.wait(60)
            statuses = receiver.answers.get(self.path, [200])
            status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
            try:
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()
            except OSError:
                self.close_connection = True  # the sender is gone

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
            """Keep the test's output clean."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
