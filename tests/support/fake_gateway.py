"""A gateway's public API in this process, for tests of commands: one job with a scripted life, faults on demand."""

from __future__ import annotations

import io
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

JOB_ID = "job_01JQZX5T9R8F3K2QAB7C6D5E4F"
KEY = "igw_test"
QUEUED: dict[str, Any] = {"status": "queued", "queue_position": 2}
RUNNING: dict[str, Any] = {"status": "running"}
HALFWAY: dict[str, Any] = {"status": "running", "progress": 50}
FAILED: dict[str, Any] = {
    "status": "failed",
    "error": {"message": "The provider is unreachable.", "type": "server_error", "code": "provider_unavailable"},
}
CANCELLED: dict[str, Any] = {"status": "cancelled"}


def drawing(width: int = 48, height: int = 32) -> Image.Image:
    """Return an image of many colours."""
    gradient = Image.linear_gradient("L")
    return Image.merge("RGB", [gradient.rotate(turn).resize((width, height)) for turn in (0, 90, 180)])


def png(width: int = 48, height: int = 32) -> bytes:
    """Return the drawing as PNG."""
    file = io.BytesIO()
    drawing(width, height).save(file, "PNG")
    return file.getvalue()


@dataclass(frozen=True, slots=True)
class Received:
    """A request."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document

    def form(self) -> list[tuple[str, str | None, bytes]]:
        """Return name, file name and content of each field of a form."""
        head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
        message = BytesParser(policy=HTTP).parsebytes(head + self.body)
        return [
            (
                str(part.get_param("name", header="content-disposition")),
                part.get_filename(),
                bytes(part.get_payload(decode=True)),
            )
            for part in message.iter_parts()
        ]


@dataclass(slots=True)
class FakeGateway:
    """A gateway with one job. Each look at the job takes it one step on in its life."""

    files: dict[str, bytes] = field(default_factory=lambda: {"0.png": png()})
    life: list[dict[str, Any]] = field(default_factory=lambda: [QUEUED, RUNNING, HALFWAY])
    """States before the end."""
    end: dict[str, Any] | None = None
    """Terminal state. None: completed, with the files."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Further fields of the job."""
    streams: list[str] = field(default_factory=list)
    """Faults of the next event streams: `cut`, `empty`, `silent`, `refused`, `error`, `overloaded`."""
    lost_answers: int = 0
    """Number of submissions whose connection breaks before the answer."""
    cut_downloads: int = 0
    """Number of downloads that break halfway."""
    refusal: tuple[int, dict[str, Any]] | None = None
    """Status and error of every call."""
    models: list[dict[str, Any]] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    url: str = ""
    at: int = 0
    """Place in the job's life."""
    keys: set[str] = field(default_factory=set)
    """Idempotency keys of submissions: one job each."""
    is_held: bool = False
    """The last state before the end lasts until `released`."""
    reached: threading.Event = field(default_factory=threading.Event)
    """Set once an event stream has sent a held job's last state."""
    released: threading.Event = field(default_factory=threading.Event)

    def job(self) -> dict[str, Any]:
        """Return the job at its place."""
        base = {
            "id": JOB_ID,
            "object": "job",
            "type": "image.generation",
            "modality": "image",
            "model": "bfl/flux-2-pro",
            "provider": "bfl",
            "created_at": 1_790_000_000,
            "updated_at": 1_790_000_000,
            "request": {"prompt": "A red fox", "n": len(self.files)},
            **self.facts,
        }
        if self.at < len(self.life):
            return base | self.life[self.at]
        if self.end is not None:
            return base | {"completed_at": 1_790_000_012} | self.end
        data = [
            {
                "url": f"http://elsewhere.invalid/media/{name}?sig=x",
                "width": 48,
                "height": 32,
                "media_type": "image/png",
            }
            for name in self.files
        ]
        return base | {
            "status": "completed",
            "completed_at": 1_790_000_012,
            "cost": {"amount": 0.04, "currency": "USD", "estimated": True},
            "result": {"created": 1_790_000_012, "data": data, "file_url": data[0]["url"]},
        }

    def step(self) -> dict[str, Any]:
        """Take the job one step on, and return it."""
        if not (self.is_held and self.at == len(self.life) - 1):
            self.at += 1
        return self.job()

    def calls(self, method: str, path: str) -> list[Received]:
        return [call for call in self.received if (call.method, call.path) == (method, path)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gateway: FakeGateway

    def log_message(self, *_arguments: object) -> None:
        """Keep the output of tests clean."""

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("content-length", 0))) or self._chunks())

    def _chunks(self) -> bytes:
        """Return a body in chunks."""
        body = b""
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        return body

    def _serve(self, body: bytes) -> None:
        gateway = self.gateway
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        gateway.received.append(Received(self.command, url.path, dict(parse_qsl(url.query)), headers, body))
        if gateway.refusal:
            status, error = gateway.refusal
            self._send(status, {"error": error})
        elif headers.get("authorization") != f"Bearer {KEY}":
            self._send(401, {"error": {"message": "The API key is missing or wrong.", "code": "invalid_api_key"}})
        elif self.command == "POST" and url.path.endswith(("/generations", "/edits")):
            self._submit(headers)
        elif url.path == f"/v1/jobs/{JOB_ID}/events":
            self._stream()
        elif url.path == f"/v1/jobs/{JOB_ID}":
            self._send(200, gateway.step())
        elif url.path in {f"/v1/jobs/{JOB_ID}/{action}" for action in ("cancel", "erase")}:
            self._send(
                200, gateway.job() | (CANCELLED if url.path.endswith("cancel") else {"erased_at": 1_790_000_099})
            )
        elif url.path == "/v1/jobs":
            self._send(200, {"object": "list", "data": [gateway.job()], "next_page_token": ""})
        elif url.path == "/v1/models":
            self._send(200, {"object": "list", "data": gateway.models})
        elif (name := url.path.removeprefix(f"/v1/files/jobs/{JOB_ID}/")) in gateway.files:
            self._download(gateway.files[name])
        else:
            self._send(404, {"error": {"message": "There is no such job.", "code": "job_not_found"}})

    def _submit(self, headers: Mapping[str, str]) -> None:
        if "dry-run" in headers["prefer"]:
            plan = {
                "object": "plan",
                "model": "bfl/flux-2-pro",
                "provider": "bfl",
                "size": "1024x1024",
                "n": 2,
                "estimated_cost": {"amount": 0.08, "currency": "USD", "estimated": True},
                "warnings": [{"code": "size_adjusted", "message": "The size is 1024x1024."}],
            }
            self._send(200, plan)
            return
        self.gateway.keys.add(headers["idempotency-key"])
        if self.gateway.lost_answers:
            self.gateway.lost_answers -= 1
            self.close_connection = True
            return
        self._send(202, {name: value for name, value in self.gateway.job().items() if name != "request"})

    def _stream(self) -> None:
        gateway = self.gateway
        fault = gateway.streams.pop(0) if gateway.streams else ""
        if fault in {"refused", "overloaded"}:
            self._send(404 if fault == "refused" else 503, {"error": {"message": "Not now.", "code": "x"}})
            return
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        if fault == "silent":
            gateway.released.wait()
        if fault in {"empty", "silent"}:
            return
        self._event(gateway.job())
        if fault == "error":
            self._event({"type": "error", "error": {"message": "This replica stops.", "code": "service_unavailable"}})
        elif fault == "cut":
            self._event(gateway.step())
        else:
            while gateway.job()["status"] not in {"completed", "failed", "cancelled"}:
                self._event(gateway.step())
                if gateway.is_held and gateway.at == len(gateway.life) - 1:
                    gateway.reached.set()
                    gateway.released.wait()
                    return

    def _event(self, data: dict[str, Any]) -> None:
        self.wfile.write(f": comment\n\nid: 7\nevent: job\ndata: {json.dumps(data)}\n\n".encode())

    def _download(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "image/png")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.gateway.cut_downloads:
            self.gateway.cut_downloads -= 1
            self.close_connection = True
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def _send(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(gateway: FakeGateway, port: int = 0) -> Iterator[FakeGateway]:
    """Serve a gateway on this machine, by default on a free port."""
    handler = type("Handler", (_Handler,), {"gateway": gateway})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    gateway.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield gateway
    finally:
        gateway.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
