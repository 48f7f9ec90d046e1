"""The kinds of request that are measured, each as the bytes that go over the wire."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from bench import pictures

MODEL: Final = "local/sketch"
PICTURE_BYTES: Final = 1_500_000
"""The stored picture that answers every request."""
UPLOAD_BYTES: Final = 4_000_000
_BOUNDARY: Final = "imagegateway-bench-7c1d5b0e"
_PROMPT: Final = "a lighthouse at dusk"


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of request, and how many callers send it at once, each as soon as it has its last answer."""

    name: str
    title: str
    path: str
    content_type: str
    body: bytes
    answer: str
    """`url` or `b64_json`: how the answer carries its picture."""
    connections: int
    aim: float
    """CPU milliseconds that a request through the chain should stay under."""

    def request(self, path: str, key: str) -> bytes:
        """The whole HTTP/1.1 request, with `path` in place of the chain's own."""
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
            f"content-type: {self.content_type}\r\ncontent-length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


def cells() -> tuple[Cell, ...]:
    """All of them."""
    return (
        Cell(
            name="small",
            title="small answer (url)",
            path="/v1/images/generations",
            content_type="application/json",
            body=_generation("url"),
            answer="url",
            connections=16,
            aim=2.3,
        ),
        Cell(
            name="b64",
            title="1.5 MB answer (b64_json)",
            path="/v1/images/generations",
            content_type="application/json",
            body=_generation("b64_json"),
            answer="b64_json",
            connections=4,
            aim=15,
        ),
        Cell(
            name="edit",
            title="4 MB multipart edit",
            path="/v1/images/edits",
            content_type=f"multipart/form-data; boundary={_BOUNDARY}",
            body=_form(
                {"model": MODEL, "prompt": _PROMPT, "response_format": "url"}, image=pictures.noise(UPLOAD_BYTES)
            ),
            answer="url",
            connections=4,
            aim=12,
        ),
    )


def _generation(response_format: str) -> bytes:
    return json.dumps(
        {"model": MODEL, "prompt": _PROMPT, "size": "1024x1024", "response_format": response_format}
    ).encode()


def _form(fields: dict[str, str], image: bytes) -> bytes:
    parts = [
        f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    file = (
        f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="image"; filename="noise.png"\r\n'
        "content-type: image/png\r\n\r\n"
    )
    return b"".join([*parts, file.encode(), image, f"\r\n--{_BOUNDARY}--\r\n".encode()])
