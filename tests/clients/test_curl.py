"""curl, by the options that people and scripts use."""

from __future__ import annotations

import gzip
import json
import subprocess
import zlib
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.suites import Gateway

_BODY: Final = json.dumps({"model": "local/sketch", "prompt": "a red kite over hills", "size": "64x64"})
_VERSIONS: Final = ("--http1.0", "--http1.1", "--http2", "--http2-prior-knowledge")
"""`--http2` offers an upgrade in clear text, as Java's own client does."""


def curl(gateway: Gateway, path: str, *arguments: str) -> tuple[int, str]:
    """Call a path with curl; return the status and the body."""
    done = subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--max-time", "60", "--write-out", "\n%{http_code}"),
            *("--header", f"authorization: Bearer {gateway.key}", *arguments, gateway.url + path),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def generate(gateway: Gateway, *arguments: str) -> tuple[int, str]:
    return curl(gateway, "/v1/images/generations", "--header", "content-type: application/json", *arguments)


@pytest.mark.parametrize("version", _VERSIONS)
@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/v1/models/"])
def test_get_of_every_http_version_answers(gateway: Gateway, version: str, path: str) -> None:
    assert curl(gateway, path, version)[0] == 200


@pytest.mark.parametrize("version", _VERSIONS)
@pytest.mark.parametrize("path", ["/healthz", "/v1/models"])
def test_head_answers_wherever_get_does(gateway: Gateway, version: str, path: str) -> None:
    assert curl(gateway, path, version, "--head")[0] == 200


@pytest.mark.parametrize("version", _VERSIONS)
def test_generate_of_every_http_version_returns_an_image(gateway: Gateway, version: str) -> None:
    status, body = generate(gateway, version, "--data", _BODY)
    assert (status, len(json.loads(body)["data"])) == (200, 1)


@pytest.mark.parametrize("version", _VERSIONS)
def test_form_of_every_http_version_returns_an_image(gateway: Gateway, version: str) -> None:
    fields = ["--form", "model=local/sketch", "--form", "prompt=at night"]
    status, body = curl(gateway, "/v1/images/edits", version, *fields, "--form", f"image=@{gateway.files}/input.png")
    assert status == 200, body


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_packed_body_returns_an_image(gateway: Gateway, tmp_path: Path, encoding: str) -> None:
    packed = tmp_path / "body"
    packed.write_bytes((gzip if encoding == "gzip" else zlib).compress(_BODY.encode()))
    status, body = generate(gateway, "--header", f"content-encoding: {encoding}", "--data-binary", f"@{packed}")
    assert status == 200, body


def test_answer_that_may_be_compressed_is_readable(gateway: Gateway) -> None:
    status, body = generate(gateway, "--compressed", "--data", _BODY)
    assert (status, len(json.loads(body)["data"])) == (200, 1)


def test_body_with_a_byte_order_mark_returns_an_image(gateway: Gateway, tmp_path: Path) -> None:
    marked = tmp_path / "body"
    marked.write_text(_BODY, "utf-8-sig")
    status, body = generate(gateway, "--data-binary", f"@{marked}")
    assert status == 200, body


def test_chunked_body_returns_an_image(gateway: Gateway) -> None:
    status, body = generate(gateway, "--header", "transfer-encoding: chunked", "--data", _BODY)
    assert status == 200, body


def test_large_form_that_expects_a_continue_returns_an_image(gateway: Gateway) -> None:
    status, body = curl(
        gateway,
        "/v1/images/edits",
        *("--header", "expect: 100-continue", "--form", "model=local/sketch", "--form", "prompt=at night"),
        *("--form", f"image=@{gateway.files}/input.png"),
    )
    assert status == 200, body


def test_stream_of_events_ends_with_the_image(gateway: Gateway) -> None:
    status, body = generate(gateway, "--no-buffer", "--data", json.dumps({**json.loads(_BODY), "stream": True}))
    assert status == 200, body
    assert body.startswith("event: image_generation.completed\n")


def test_api_version_in_the_query_is_ignored(gateway: Gateway) -> None:
    path = "/v1/images/generations?api-version=preview&n=2"
    status, body = curl(gateway, path, "--header", "content-type: application/json", "--data", _BODY)
    assert (status, len(json.loads(body)["data"])) == (200, 1)


def test_underscore_header_is_dropped(gateway: Gateway) -> None:
    assert generate(gateway, "--header", "x_trace: 1", "--data", _BODY)[0] == 200
