"""Settings: hosts that are no address for links, and keys that are too short."""

from __future__ import annotations

import pytest
from imagegateway.platform.hosts import is_wildcard
from imagegateway.platform.setting_source import SettingError, Source
from imagegateway.platform.settings import load


def given(**values: str) -> Source:
    return Source({f"IMAGEGATEWAY_{name}": value for name, value in values.items()})


WILDCARDS = ["0.0.0.0", "::", "0", "[::]", "0.0", "0x0", "::0", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0", "*"]  # noqa: S104  not bound


@pytest.mark.parametrize("host", WILDCARDS)
def test_wildcard_host_needs_a_public_url(host: str) -> None:
    assert is_wildcard(host)
    with pytest.raises(SettingError, match="IMAGEGATEWAY_PUBLIC_URL"):
        load(given(HOST=host))
    assert load(given(HOST=host, PUBLIC_URL="https://images.example.com/")).public_url == "https://images.example.com"


@pytest.mark.parametrize(
    "url", ["http://0.0.0.0:8080", "http://[::]:8080", "http://0/", "https://", "http://:80", "http://[::", "ftp://a"]
)
def test_public_url_must_name_a_host_that_callers_can_reach(url: str) -> None:
    with pytest.raises(SettingError, match="IMAGEGATEWAY_PUBLIC_URL"):
        load(given(PUBLIC_URL=url))


@pytest.mark.parametrize(
    ("host", "public", "local"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("10.1.2.3", "http://10.1.2.3:8080", "http://10.1.2.3:8080"),
        ("::1", "http://[::1]:8080", "http://[::1]:8080"),
        ("0.0.0.0", "http://gateway", "http://127.0.0.1:8080"),  # noqa: S104
        ("::", "http://gateway", "http://[::1]:8080"),
    ],
)
def test_public_and_local_url_follow_the_host(host: str, public: str, local: str) -> None:
    values = {"PUBLIC_URL": public} if public == "http://gateway" else {}
    found = load(given(HOST=host, **values))
    assert (found.public_url, found.local_url) == (public, local)


@pytest.mark.parametrize("key", ["z", "x" * 19, "x" * 20 + " y", "schlüssel-schlüssel-1", "x" * 20 + "\ny"])
def test_api_key_that_is_short_or_no_header_is_refused_by_name_only(key: str) -> None:
    with pytest.raises(SettingError, match="IMAGEGATEWAY_API_KEY") as caught:
        load(given(API_KEY=key))
    assert key not in str(caught.value)


def test_api_key_of_20_characters_is_accepted() -> None:
    assert load(given(API_KEY="k" * 20)).api_key.reveal() == "k" * 20


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:9090", "127.0.0.1", 9090), ("[::1]:9090", "::1", 9090), ("0.0.0.0:9090", "0.0.0.0", 9090)],  # noqa: S104
)
def test_admin_listen_is_an_address_and_a_port(text: str, host: str, port: int) -> None:
    found = load(given(ADMIN_LISTEN=text)).admin_listen
    assert found is not None
    assert (found.host, found.port) == (host, port)


@pytest.mark.parametrize(
    "text", ["9090", "localhost:9090", ":9090", "127.0.0.1:0", "127.0.0.1:x", "127.0.0.1:8080", "::1:9"]
)
def test_admin_listen_that_is_no_other_address_is_refused_by_name(text: str) -> None:
    with pytest.raises(SettingError, match="IMAGEGATEWAY_ADMIN_LISTEN"):
        load(given(ADMIN_LISTEN=text))
