"""Images by URL: errors of failed fetches."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from imagegateway.outbound import image_fetch
from imagegateway.outbound.client import Outbound
from imagegateway.outbound.image_fetch import fetch_image
from imagegateway.outbound.url_guard import UrlGuard
from imagegateway.platform.errors import GatewayError

from tests.outbound.origin import answer, serve
from tests.outbound.test_url_guard import FakeNameService

BYTES = bytes(range(256))
ENCODED = base64.b64encode(BYTES).decode()


async def fetch(outbound: Outbound, url: str, param: str, max_bytes: int) -> bytes:
    body = bytearray()

    async def write(piece: bytes) -> None:
        body.extend(piece)

    await fetch_image(outbound, url, param, write, max_bytes=max_bytes, tenant="a")
    return bytes(body)


async def fails(outbound: Outbound, url: str, max_bytes: int = 1000) -> GatewayError:
    """Return the error of a fetch, after checking the parts that all errors share."""
    with pytest.raises(GatewayError) as caught:
        await fetch(outbound, url, "mask_url", max_bytes)
    error = caught.value
    assert error.param == "mask_url"
    assert error.message.startswith("mask_url ")
    assert error.message.endswith(".")
    assert error.message.count(". ") == 0
    return error


@pytest.fixture(params=[3, 4, 7, 1 << 20], autouse=True)
def _piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode data URLs in pieces of several sizes, with equal results."""
    monkeypatch.setattr(image_fetch, "_PIECE", request.param)


@pytest.mark.parametrize(
    "url",
    [
        f"data:image/png;base64,{ENCODED}",
        f"data:image/png;name=a.png;base64,{ENCODED}",
        f"data:;base64,{ENCODED}",
        f"DATA:IMAGE/PNG;Base64,{ENCODED}",
        f"data:text/plain;base64,{quote(ENCODED, safe='')}",
        "data:image/png;base64," + "".join(f"%{ord(character):02x}" for character in ENCODED),
        "data:image/png;base64," + base64.encodebytes(BYTES).decode(),
        "data:image/png;base64," + base64.encodebytes(BYTES).decode().replace("\n", "\r\n"),
        "data:image/png;base64," + quote(base64.encodebytes(BYTES)),
        f"data:image/png;base64, {ENCODED}\n",
        f"data:image/png; base64 ,\t{ENCODED}\f",
        "data:image/png;base64," + base64.urlsafe_b64encode(BYTES).decode(),
        "data:image/png;base64," + ENCODED.rstrip("="),
    ],
)
async def test_data_url_is_decoded(url: str) -> None:
    async with Outbound(UrlGuard([])) as outbound:
        assert await fetch(outbound, url, "image_url", len(BYTES)) == BYTES


@pytest.mark.parametrize(
    "url",
    [
        "data:",
        "data:image/png;base64",
        f"data:image/png,{ENCODED}",
        f"data:image/png;base64x,{ENCODED}",
        f"data:{'x' * 300};base64,{ENCODED}",
        "data:image/png;base64,AAAAA",
        "data:image/png;base64,AAA*",
        "data:image/png;base64,AAAA****",
        "data:image/png;base64,****AAAA",
        "data:image/png;base64,=AAA",
        "data:image/png;base64,AA==AA==",
        "data:image/png;base64,AA=",
        "data:image/png;base64,AAA==",
        "data:image/png;base64,AAA\vA",
        "data:image/png;base64,AAA\u00a0A",
        "data:image/png;base64,AAé=",
        "data:image/png;base64,AAA%zz",
    ],
)
async def test_malformed_data_url_is_refused_without_its_content(url: str) -> None:
    async with Outbound(UrlGuard([])) as outbound:
        error = await fails(outbound, url)
    assert error.code == "invalid_image_url"
    assert ENCODED not in error.message


@pytest.mark.parametrize("size", [299, 300, 301, 302, 303])
async def test_data_url_of_exactly_the_limit_passes(size: int) -> None:
    encoded = base64.b64encode(bytes(size)).decode()
    escaped = "".join(f"%{ord(character):02x}" for character in encoded)
    async with Outbound(UrlGuard([])) as outbound:
        for url in (f"data:;base64,{encoded}", f"data:;base64,{escaped}"):
            assert await fetch(outbound, url, "image_url", size) == bytes(size)
            assert (await fails(outbound, url, size - 1)).code == "file_too_large"


async def test_data_url_too_long_for_any_permitted_image_is_refused_before_its_content_is_read() -> None:
    longest = 4 * (1000 + 2)
    async with Outbound(UrlGuard([])) as outbound:
        assert await fetch(outbound, "data:;base64," + " " * longest, "image_url", 1000) == b""
        assert (await fails(outbound, "data:;base64," + "*" * (longest + 1))).code == "file_too_large"


async def test_https_url_of_exactly_the_limit_passes() -> None:
    async with serve(answer(BYTES)) as origin, Outbound(UrlGuard([origin.host])) as outbound:
        assert await fetch(outbound, origin.url("/a.png"), "image_url", 256) == BYTES
        error = await fails(outbound, origin.url("/a.png"), 255)
    assert error.code == "file_too_large"
    assert error.message == "mask_url is larger than the limit of 255 bytes."


@pytest.mark.parametrize(
    ("url", "clause"),
    [
        ("http://a.example/x.png", "the URL must start with https://"),
        ("C:\\x.png", "the URL holds white space, control characters or backslashes"),
        ("https://169.254.169.254/latest", "its host has no public address"),
        ("https://[::ffff:10.0.0.1]/", "its host has no public address"),
        ("https://inside.example/?signature=abc", "its host has no public address"),
    ],
)
async def test_forbidden_url_is_refused_with_the_cause(url: str, clause: str) -> None:
    async with Outbound(UrlGuard([], FakeNameService(["10.1.2.3"]))) as outbound:
        error = await fails(outbound, url)
    assert error.code == "invalid_image_url"
    assert error.message == f"mask_url can't be fetched: {clause}."


async def test_upstream_bodies_and_queries_are_not_passed_on() -> None:
    async with (
        serve(answer(b"internal stack trace", 500)) as origin,
        Outbound(UrlGuard([origin.host])) as outbound,
    ):
        error = await fails(outbound, origin.url("/x.png?signature=abc"))
    assert error.code == "invalid_image_url"
    assert error.message == "mask_url can't be fetched: its server answered with status 500."
