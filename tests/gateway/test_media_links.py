"""Signed links in responses: served by plain HTTP through Envoy without a key."""

from __future__ import annotations

import hashlib
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from imagegateway.keys.root_secret import RootSecret
from imagegateway.media.signed_links import LinkSigner
from imagegateway.platform import setting_source, settings

from tests.gateway import inputs, rest
from tests.gateway.rest import ask, assert_error, generate
from tests.support import command

if TYPE_CHECKING:
    from tests.support.stack import Stack

DAY = 86_400


@pytest.fixture(scope="module")
def path(stack: Stack) -> str:
    """Return path and query of a new link."""
    (item,) = generate(stack, size="256x256").json()["data"]
    return rest.link(stack, item["url"])


def get(stack: Stack, path: str, method: str = "GET", **headers: str) -> rest.Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(stack, method, path, headers=named, key="")


def tag(path: str) -> str:
    return f'"{path.split("/")[3].partition("-")[0]}"'


def signed(stack: Stack, path: str, at: float) -> str:
    """Return a link to the same file, signed at another time."""
    loaded = settings.load(setting_source.Source(command.environment(**stack.values)))
    links = LinkSigner(RootSecret.load(loaded), stack.url, clock=lambda: at)
    _, _, day, result, name = urlsplit(path).path.split("/")
    return rest.link(stack, links.sign(f"results/{day}/{result}", name))


def test_link_get_returns_the_bytes_of_its_digest(stack: Stack, path: str) -> None:
    answer = get(stack, path)
    assert answer.status == 200
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.body).hexdigest()}"' == tag(path)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-request-id"]
    assert inputs.pixels(answer.body).size == (256, 256)


def test_head_of_a_link_returns_the_headers_without_bytes(stack: Stack, path: str) -> None:
    head, whole = get(stack, path, "HEAD"), get(stack, path)
    assert (head.status, head.body) == (200, b"")
    for name in ("etag", "content-type", "content-length", "x-content-type-options", "cache-control"):
        assert head.headers[name] == whole.headers[name], name


@pytest.mark.parametrize(("kind", "media_type"), [("jpeg", "image/jpeg"), ("webp", "image/webp")])
def test_link_has_the_content_type_of_the_format(stack: Stack, kind: str, media_type: str) -> None:
    (item,) = generate(stack, output_format=kind).json()["data"]
    assert get(stack, rest.link(stack, item["url"])).headers["content-type"] == media_type


@pytest.mark.parametrize(
    ("header", "start", "end"), [("bytes=0-9", 0, 10), ("bytes=10-", 10, None), ("bytes=-7", -7, None)]
)
def test_link_range_returns_the_requested_part(
    stack: Stack, path: str, header: str, start: int, end: int | None
) -> None:
    whole = get(stack, path).body
    answer = get(stack, path, range=header)
    assert answer.status == 206
    assert answer.body == whole[start:end]
    first = start % len(whole)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.body) - 1}/{len(whole)}"


def test_link_range_after_the_end_is_416(stack: Stack, path: str) -> None:
    size = len(get(stack, path).body)
    answer = get(stack, path, range=f"bytes={size}-")
    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{size}"
    rest.assert_no_internals(answer)


def test_link_if_none_match_is_304_for_its_digest_alone(stack: Stack, path: str) -> None:
    same = get(stack, path, if_none_match=tag(path))
    assert (same.status, same.body) == (304, b"")
    assert same.headers["etag"] == tag(path)
    assert get(stack, path, if_none_match='"other"').status == 200


def test_signed_link_expires_after_24_hours(path: str) -> None:
    (expires,) = parse_qs(urlsplit(path).query)["exp"]
    assert DAY - 600 < int(expires) - time.time() <= DAY


def test_link_signed_by_the_same_secret_is_good_and_lasts_until_its_end(stack: Stack, path: str) -> None:
    now = time.time()
    assert get(stack, signed(stack, path, now)).status == 200
    assert get(stack, signed(stack, path, now - DAY + 600)).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_link_that_is_over_is_410(stack: Stack, path: str, method: str) -> None:
    answer = get(stack, signed(stack, path, time.time() - DAY - 1), method)
    assert answer.status == 410
    if method == "GET":
        assert_error(answer, 410, "expired")


def flip(text: str) -> str:
    return text[:-1] + ("A" if text[-1] != "A" else "B")


def test_link_tampered_anywhere_is_403(stack: Stack, path: str) -> None:
    place, _, query = path.partition("?")
    expires, signature = re.findall(r"=([^&]+)", query)
    _, _, day, result, name = place.split("/")
    for changed in (
        f"{place}?exp={int(expires) + 1}&sig={signature}",
        f"{place}?exp={expires}&sig={flip(signature)}",
        f"{place}?exp={expires}&sig=",
        f"{place}?exp={expires}",
        f"{place}?sig={signature}",
        place,
        f"/media/{day}/{result}/1.{name.partition('.')[2]}?{query}",
        f"/media/{day}/{result}/0.svg?{query}",
        f"/media/{day}/{'0' * 64}/{name}?{query}",
        f"/media/2020-01-01/{result}/{name}?{query}",
    ):
        answer = get(stack, changed)
        assert_error(answer, 403, "invalid_signature", kind="permission_error")


@pytest.mark.parametrize("tail", ["", "x", "a/b/c/d", "..%2f..%2fsecret-key", "%2e%2e/%2e%2e/secret-key"])
def test_path_below_media_that_is_no_link_is_refused(stack: Stack, tail: str) -> None:
    answer = get(stack, f"/media/{tail}")
    assert answer.status in {400, 403, 404}
    rest.assert_no_internals(answer)


def test_link_with_another_method_is_refused(stack: Stack, path: str) -> None:
    answer = get(stack, path, "DELETE")
    assert answer.status == 405
    rest.assert_no_internals(answer)
    assert get(stack, path).status == 200


def test_link_of_a_file_that_is_gone_is_404(stack: Stack) -> None:
    (item,) = generate(stack, size="70x70").json()["data"]
    path = rest.link(stack, item["url"])
    _, _, day, result, _ = urlsplit(path).path.split("/")
    (stack.data_dir / "media" / "results" / day / result).unlink()
    answer = get(stack, path)
    assert answer.status == 404
    rest.assert_no_internals(answer)
