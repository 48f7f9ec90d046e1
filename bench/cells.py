"""The kinds of request that are measured, each as the bytes that go over the wire."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Final

from bench import pictures

MODEL: Final = "local/sketch"
UPSTREAM_MODEL: Final = "openai/gpt-image-2"
PICTURE_BYTES: Final = 1_500_000
"""The stored picture that answers every request."""
SMALL_BYTES: Final = 1_500
"""The upstream's picture where its answer is to be small."""
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
    """CPU milliseconds that a request through the chain should stay under; 0: none is set."""
    group: str = "chain"
    """`chain`: answered by the embedded model; `upstream`: by a provider's server (`bench.provider`)."""
    picture: str = "large"
    """The picture of the answer: `large` or `small`."""
    rate: float = 0.0
    """Requests a second, sent whether or not earlier ones are answered; 0: a closed loop."""
    headers: str = ""
    """Further header lines, each with its end."""
    status: int = 200

    def request(self, path: str, key: str, headers: str = "") -> bytes:
        """The whole HTTP/1.1 request, with `path` in place of the chain's own; `headers`: further lines."""
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n{self.headers}{headers}"
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


def upstream_cells() -> tuple[Cell, ...]:
    """Those whose pictures an upstream server makes; `bench.provider` reads in the prompt which picture is wanted."""
    edit = {"model": UPSTREAM_MODEL, "prompt": "a small lighthouse", "response_format": "url"}
    small = Cell(
        name="up-small",
        title="upstream, small answer (url)",
        path="/v1/images/generations",
        content_type="application/json",
        body=_generation("url", UPSTREAM_MODEL, "a small lighthouse"),
        answer="url",
        connections=16,
        aim=0,
        group="upstream",
        picture="small",
    )
    return (
        small,
        replace(small, name="up-rate", title="the same, 50 requests/s", rate=50),
        replace(
            small,
            name="up-b64",
            title="upstream, 1.5 MB answer (b64_json)",
            body=_generation("b64_json", UPSTREAM_MODEL, "a large lighthouse"),
            answer="b64_json",
            connections=4,
            picture="large",
        ),
        replace(
            small,
            name="up-edit",
            title="upstream, 4 MB multipart edit",
            path="/v1/images/edits",
            content_type=f"multipart/form-data; boundary={_BOUNDARY}",
            body=_form(edit, image=pictures.noise(UPLOAD_BYTES)),
            connections=4,
        ),
    )


def submission(seconds: float) -> Cell:
    """A job that waits at its provider for so long, accepted with 202; not one of the cells that are compared."""
    options = {"provider_options": {"delay": seconds, "steps": 1}}
    return Cell(
        name="submit",
        title="submission (respond-async)",
        path="/v1/images/generations",
        content_type="application/json",
        body=json.dumps({"model": MODEL, "prompt": _PROMPT, **options}).encode(),
        answer="job",
        connections=32,
        aim=0,
        group="jobs",
        headers="prefer: respond-async\r\n",
        status=202,
    )


def _generation(response_format: str, model: str = MODEL, prompt: str = _PROMPT) -> bytes:
    return json.dumps(
        {"model": model, "prompt": prompt, "size": "1024x1024", "response_format": response_format}
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
