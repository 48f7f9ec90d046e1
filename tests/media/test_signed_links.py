from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from imagegateway.keys.root_secret import RootSecret
from imagegateway.media.signed_links import LinkSigner, LinkStatus, extension_of, media_type_of

from tests.support.clock import Clock

NOW = 1_790_000_000  # 2026-09-21T13:33:20Z
SHA = "ab" * 32
KEY = f"results/2026-09-29/{SHA}"
MIDNIGHT = 1_790_640_000  # 2026-09-29


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def links(clock: Clock) -> LinkSigner:
    return LinkSigner(RootSecret("root secret of the tests"), "https://images.example/base", clock)


def parts(url: str) -> tuple[str, str, str]:
    """Return the path from /media/ on, exp and sig."""
    split = urlsplit(url)
    query = parse_qs(split.query)
    return split.path.removeprefix("/base"), query["exp"][0], query["sig"][0]


def test_signed_link_has_the_documented_form(links: LinkSigner) -> None:
    url = links.sign(KEY, "0.png")
    assert url.startswith(f"https://images.example/base/media/2026-09-29/{SHA}/0.png?exp={NOW + 86_400}&sig=")
    assert re.fullmatch(r"[0-9a-f]{8}\.[A-Za-z0-9_-]{24}", parts(url)[2])


def test_signed_link_is_valid_until_its_expiry(links: LinkSigner, clock: Clock) -> None:
    path, exp, sig = parts(links.sign(KEY, "0.png", lifetime=60))
    assert links.verify(path, exp, sig) is LinkStatus.VALID
    clock.now = NOW + 59.9
    assert links.verify(path, exp, sig) is LinkStatus.VALID
    clock.now = NOW + 60
    assert links.verify(path, exp, sig) is LinkStatus.EXPIRED


def test_a_link_never_outlives_its_file(links: LinkSigner, clock: Clock) -> None:
    clock.now = MIDNIGHT - 100
    path, exp, sig = parts(links.sign(KEY, "0.png"))
    assert int(exp) == MIDNIGHT
    clock.now = MIDNIGHT
    assert links.verify(path, exp, sig) is LinkStatus.EXPIRED


@pytest.mark.parametrize("lifetime", [59, 604_801, 0, -1])
def test_lifetimes_out_of_range_are_refused(links: LinkSigner, lifetime: int) -> None:
    with pytest.raises(ValueError, match="60 to 604800"):
        links.sign(KEY, "0.png", lifetime)


@pytest.mark.parametrize("lifetime", [60, 604_800])
def test_lifetimes_at_the_edge_are_taken(links: LinkSigner, lifetime: int) -> None:
    assert links.expiry(KEY, lifetime) == NOW + lifetime


@pytest.mark.parametrize(
    ("key", "filename"),
    [
        (f"uploads/2026-09-29/{SHA[:32]}", "0.png"),
        (KEY, "png"),
        (KEY, "../0.png"),
        (KEY, "0.html"),
        (KEY, "0.png\n"),
        (KEY, "a.png"),
        ("results/x", "0.png"),
    ],
)
def test_key_of_no_result_or_malformed_filename_is_not_signed(links: LinkSigner, key: str, filename: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  a malformed key says so in the store's words
        links.sign(key, filename)


def test_every_part_is_covered_by_the_signature(links: LinkSigner) -> None:
    path, exp, sig = parts(links.sign(KEY, "0.png"))
    forgeries = [
        (path.replace("0.png", "1.png"), exp, sig),
        (path.replace("0.png", "0.svg"), exp, sig),
        (path.replace("ab", "cd", 1), exp, sig),
        (path.replace("-29", "-30"), exp, sig),
        (path, str(int(exp) + 1), sig),
        (path, "0" + exp, sig),
        (path, "", sig),
        (path, exp, ""),
        (path, exp, sig[:-1]),
        (path, exp, sig + "="),
        (path, exp, sig.swapcase()),
        (path, exp, sig.partition(".")[2]),
        (path, exp, f"00000000.{sig.partition('.')[2]}"),
        (path, exp, "ü\udc80"),
        ("", "", ""),
    ]
    assert {links.verify(*forgery) for forgery in forgeries} == {LinkStatus.FORBIDDEN}


def test_a_tampered_link_that_is_also_expired_is_forbidden(links: LinkSigner, clock: Clock) -> None:
    path, exp, _ = parts(links.sign(KEY, "0.png"))
    clock.now = NOW + 100_000
    assert links.verify(path, exp, "A" * 24) is LinkStatus.FORBIDDEN


def test_another_key_signs_otherwise(links: LinkSigner, clock: Clock) -> None:
    other = LinkSigner(RootSecret("another root secret"), "https://images.example/base", clock)
    assert links.verify(*parts(other.sign(KEY, "0.png"))) is LinkStatus.FORBIDDEN


def test_link_of_a_previous_root_secret_is_valid_until_its_end_and_new_ones_name_the_present(clock: Clock) -> None:
    old, new = "the old root secret", "the new root secret"
    url = LinkSigner(RootSecret(old), "https://images.example/base", clock).sign(KEY, "0.png")
    rotated = LinkSigner(RootSecret(new, "older still, sixteen", old), "https://images.example/base", clock)
    assert rotated.verify(*parts(url)) is LinkStatus.VALID
    assert LinkSigner(RootSecret(new), "", clock).verify(*parts(url)) is LinkStatus.FORBIDDEN
    fresh = rotated.sign(KEY, "0.png")
    assert LinkSigner(RootSecret(new), "", clock).verify(*parts(fresh)) is LinkStatus.VALID
    path, exp, sig = parts(url)
    mixed = f"{parts(fresh)[2].partition('.')[0]}.{sig.partition('.')[2]}"
    assert rotated.verify(path, exp, mixed) is LinkStatus.FORBIDDEN
    clock.now = NOW + 86_400
    assert rotated.verify(*parts(url)) is LinkStatus.EXPIRED


@pytest.mark.parametrize(
    ("media_type", "extension"),
    [
        ("image/png", "png"),
        ("image/jpeg", "jpg"),
        ("image/webp", "webp"),
        ("image/gif", "gif"),
        ("image/svg+xml", "svg"),
        ("video/mp4", "mp4"),
    ],
)
def test_media_type_and_extension_map_to_each_other(media_type: str, extension: str) -> None:
    assert extension_of(media_type) == extension
    assert media_type_of(f"0.{extension}") == media_type


def test_unknown_media_type_or_extension_raises_value_error() -> None:
    with pytest.raises(ValueError, match="text/html"):
        extension_of("text/html")
    with pytest.raises(ValueError, match=r"0\.html"):
        media_type_of("0.html")
