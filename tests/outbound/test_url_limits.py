"""Limits of URLs from outside: the last value that passes, and the first that does not."""

from __future__ import annotations

import pytest
from imagegateway.outbound.url_guard import MAX_URL, UrlGuard, UrlRefusedError, is_public

LABEL = "a" * 61
LONG_NAME = ".".join([LABEL] * 4) + "." + "b" * 5
"""Name of 253 characters."""


def passes(url: str) -> bool:
    try:
        UrlGuard([]).parse(url)
    except UrlRefusedError:
        return False
    return True


@pytest.mark.parametrize(
    ("last", "first"),
    [
        ("https://a.example/".ljust(MAX_URL, "x"), "https://a.example/".ljust(MAX_URL + 1, "x")),
        ("https://a.example:65535/", "https://a.example:65536/"),
        ("https://a.example:1024/", "https://a.example:1023/"),
        ("https://a.example:1024/", "https://a.example:0/"),
        (f"https://{LONG_NAME}/", f"https://{LONG_NAME}b/"),
        (f"https://{'a' * 63}.example/", f"https://{'a' * 64}.example/"),
    ],
    ids=["length", "highest port", "ports of other services", "port 0", "name", "label"],
)
def test_last_value_passes_and_the_next_does_not(last: str, first: str) -> None:
    assert len(LONG_NAME) == 253
    assert (passes(last), passes(first)) == (True, False)


@pytest.mark.parametrize("port", [80, 443])
def test_ports_of_the_web_pass(port: int) -> None:
    assert passes(f"https://a.example:{port}/")


@pytest.mark.parametrize("address", ["", "a.example", "8.8.8", "8.8.8.8.8", "2606:4700::1%eth0", "::ffff:8.8.8.8.8"])
def test_text_that_is_no_routable_address_is_not_public(address: str) -> None:
    assert not is_public(address)


def test_name_in_other_letters_is_converted_up_to_the_longest_name() -> None:
    assert UrlGuard([]).parse(f"https://{'ü' * 20}.example/").host.startswith("xn--")
    assert not passes(f"https://{'ü' * 246}.example/")
