"""Measured kinds of request, each as the bytes on the wire."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Final

from bench import noise_images

MODEL: Final = "local/sketch"
UPSTREAM_MODEL: Final = "openai/gpt-image-2"
IMAGE_BYTES: Final = 1_500_000
"""Size of the stored image that answers every request."""
SMALL_BYTES: Final = 1_500
"""Size of the upstream's image in small responses."""
UPLOAD_BYTES: Final = 4_000_000
_BOUNDARY: Final = "imagegateway-bench-7c1d5b0e"
_PROMPT: Final = "a lighthouse at dusk"


@dataclass(frozen=True, slots=True)
class Cell:
    """Kind of request, with its number of concurrent callers. Each sends its next request after its response."""

    name: str
    title: str
    path: str
    content_type: str
    body: bytes
    answer: str
    """`url` or `b64_json`: form of the image in the response."""
    connections: int
    group: str = "chain"
    """`chain`: the embedded model responds; `upstream`: a provider's server responds (`bench.provider`)."""
    image: str = "large"
    """Image of the response: `large` or `small`."""
    rate: float = 0.0
    """Requests per second of an open loop; 0: a closed loop."""
    headers: str = ""
    """Additional header lines, each with its line end."""
    status: int = 200

    def request(self, path: str, key: str, headers: str = "") -> bytes:
        """Return the whole HTTP/1.1 request to `path`. `headers`: additional lines."""
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n{self.headers}{headers}"
            f"content-type: {self.content_type}\r\ncontent-length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


def cells() -> tuple[Cell, ...]:
    """Return the cells that the embedded model answers."""
    return (
        Cell(
            name="small",
            title="small answer (url)",
            path="/v1/images/generations",
            content_type="application/json",
            body=_generation("url"),
            answer="url",
            connections=16,
        ),
        Cell(
            name="b64",
            title="1.5 MB answer (b64_json)",
            path="/v1/images/generations",
            content_type="application/json",
            body=_generation("b64_json"),
            answer="b64_json",
            connections=4,
        ),
        Cell(
            name="edit",
            title="4 MB multipart edit",
            path="/v1/images/edits",
            content_type=f"multipart/form-data; boundary={_BOUNDARY}",
            body=_form(
                {"model": MODEL, "prompt": _PROMPT, "response_format": "url"}, image=noise_images.noise(UPLOAD_BYTES)
            ),
            answer="url",
            connections=4,
        ),
    )


def upstream_cells() -> tuple[Cell, ...]:
    """Return the cells that an upstream answers. `bench.provider` selects the image by a word of the prompt."""
    edit = {"model": UPSTREAM_MODEL, "prompt": "a small lighthouse", "response_format": "url"}
    small = Cell(
        name="up-small",
        title="upstream, small answer (url)",
        path="/v1/images/generations",
        content_type="application/json",
        body=_generation("url", UPSTREAM_MODEL, "a small lighthouse"),
        answer="url",
        connections=16,
        group="upstream",
        image="small",
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
            image="large",
        ),
        replace(
            small,
            name="up-url",
            title="upstream, 1.5 MB answer (url)",
            body=_generation("url", UPSTREAM_MODEL, "a large lighthouse"),
            connections=4,
            image="large",
        ),
        replace(
            small,
            name="up-edit",
            title="upstream, 4 MB multipart edit",
            path="/v1/images/edits",
            content_type=f"multipart/form-data; boundary={_BOUNDARY}",
            body=_form(edit, image=noise_images.noise(UPLOAD_BYTES)),
            connections=4,
        ),
    )


def submission(seconds: float) -> Cell:
    """Return the submission of a job that waits `seconds` at its provider. The response is 202."""
    options = {"provider_options": {"delay": seconds, "steps": 1}}
    return Cell(
        name="submit",
        title="submission (respond-async)",
        path="/v1/images/generations",
        content_type="application/json",
        body=json.dumps({"model": MODEL, "prompt": _PROMPT, **options}).encode(),
        answer="job",
        connections=32,
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
