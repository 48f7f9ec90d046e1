"""Settings: hosts that are no address for links, and keys that are too short."""

from __future__ import annotations

from pathlib import Path

import pytest
from imagegateway.platform.hosts import is_wildcard
from imagegateway.platform.setting_source import SettingError, Source
from imagegateway.platform.settings import load


def given(**values: str) -> Source:
    return Source({f"IMAGEGATEWAY_{name}": value for name, value in values.items()})


WILDCARDS = ["0.0.0.0", "::", "::0", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0"]  # noqa: S104  not bound


@pytest.mark.parametrize("host", ["0", "[::]", "0.0", "0x0", "*", "localhost", "127.0.0.1:80", "[::1]"])
def test_host_that_envoy_cannot_listen_on_is_refused_by_name(host: str) -> None:
    with pytest.raises(SettingError, match=r"^IMAGEGATEWAY_HOST must be an IP address"):
        load(given(HOST=host, PUBLIC_URL="https://images.example.com"))


@pytest.mark.parametrize("host", ["0", "[::]", "0.0", "0x0", "*"])
def test_wildcard_in_the_public_url_is_refused_in_every_notation(host: str) -> None:
    assert is_wildcard(host)
    with pytest.raises(SettingError, match=r"^IMAGEGATEWAY_PUBLIC_URL must name a host"):
        load(given(PUBLIC_URL=f"https://{host}:8080"))


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
    "url",
    [
        "https://images.example.com:99999",
        "https://images.example.com:http",
        "https://images.example.com/?tenant=a",
        "https://images.example.com/#top",
        "https://admin:password@images.example.com",
        "https://images example.com",
    ],
)
def test_public_url_that_can_not_begin_links_is_refused_without_its_credentials(url: str) -> None:
    with pytest.raises(SettingError, match=r"^IMAGEGATEWAY_PUBLIC_URL must be ") as caught:
        load(given(PUBLIC_URL=url))
    assert "password" not in str(caught.value)


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


def test_certificate_makes_the_default_origin_https() -> None:
    found = load(given(TLS_CERT="tls.crt", TLS_KEY="/run/tls.key", HOST="::1", PORT="8443"))
    assert (found.edge.tls_cert, found.edge.tls_key) == (Path("tls.crt").absolute(), Path("/run/tls.key"))
    assert (found.public_url, found.local_url) == ("https://[::1]:8443", "https://[::1]:8443")


def test_this_machine_calls_the_origin_that_the_certificate_names() -> None:
    found = load(given(TLS_CERT="c", TLS_KEY="k", HOST="0.0.0.0", PUBLIC_URL="https://images.example.com"))  # noqa: S104
    assert found.local_url == "https://images.example.com"


@pytest.mark.parametrize(("given_name", "missing"), [("TLS_CERT", "TLS_KEY"), ("TLS_KEY", "TLS_CERT")])
def test_certificate_without_its_key_is_refused_by_name(given_name: str, missing: str) -> None:
    with pytest.raises(SettingError, match=f"^IMAGEGATEWAY_{missing} is needed with IMAGEGATEWAY_{given_name}: "):
        load(given(**{given_name: "file"}))


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


def test_admin_listen_on_the_port_of_a_public_wildcard_is_refused_in_the_same_family_alone() -> None:
    wildcard = {"HOST": "0.0.0.0", "PUBLIC_URL": "https://images.example.com"}  # noqa: S104
    with pytest.raises(SettingError, match="IMAGEGATEWAY_ADMIN_LISTEN must differ"):
        load(given(ADMIN_LISTEN="127.0.0.1:8080", **wildcard))
    assert load(given(ADMIN_LISTEN="[::1]:8080", **wildcard)).admin_listen


def test_http3_without_a_certificate_is_refused_by_name() -> None:
    with pytest.raises(SettingError, match="IMAGEGATEWAY_HTTP3 needs IMAGEGATEWAY_TLS_CERT"):
        load(given(HTTP3="on"))
    assert load(given(HTTP3="on", TLS_CERT="c", TLS_KEY="k")).edge.http3


def test_trusted_proxies_are_addresses_and_networks() -> None:
    found = load(given(TRUSTED_PROXIES="10.0.0.0/8, 192.0.2.1 2001:db8::/32")).edge.trusted_proxies
    assert [str(network) for network in found] == ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]
    assert load(given()).edge.trusted_proxies == ()


@pytest.mark.parametrize("text", ["proxy.example", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0-10.0.0.9"])
def test_trusted_proxy_that_is_no_network_is_refused_by_name(text: str) -> None:
    with pytest.raises(SettingError, match=f"IMAGEGATEWAY_TRUSTED_PROXIES .*{text}"):
        load(given(TRUSTED_PROXIES=text))


@pytest.mark.parametrize("host", ["", "*", "[::1]", "300.1.1.1", "metrics.internal"])
def test_metrics_host_that_is_no_ip_address_is_refused_by_name(host: str) -> None:
    with pytest.raises(SettingError, match=r"^IMAGEGATEWAY_METRICS_HOST must be an IP address"):
        load(given(METRICS_HOST=host))


@pytest.mark.parametrize(("text", "host"), [("localhost", "127.0.0.1"), ("::", "::"), ("10.1.2.3", "10.1.2.3")])
def test_metrics_host_is_an_ip_address(text: str, host: str) -> None:
    assert load(given(METRICS_HOST=text)).metrics_host == host


@pytest.mark.parametrize("entry", ["a:0", "a:99999", "[::1]:70000", "http://a", "a/b"])
def test_allowed_host_that_is_no_host_and_port_is_refused_by_name(entry: str) -> None:
    with pytest.raises(SettingError, match=r"^IMAGEGATEWAY_ALLOW_HOSTS: "):
        load(given(ALLOW_HOSTS=f"b:80, {entry}"))


@pytest.mark.parametrize("count", ["0", "2", "4", "7"])
def test_copies_that_are_no_majority_are_refused_by_name(count: str) -> None:
    with pytest.raises(SettingError, match=r"^IMAGEGATEWAY_NATS_REPLICAS must be "):
        load(given(NATS_REPLICAS=count))


@pytest.mark.parametrize(
    "url", ["http://a", ",", "nats://a:4222,", "nats://", "nats://u:secret@a:99999", "nats://u:secret@:4222"]
)
def test_nats_url_that_names_no_server_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingError, match=r"^IMAGEGATEWAY_NATS_URL must be URLs") as caught:
        load(given(NATS_URL=url))
    assert "secret" not in str(caught.value)


def test_nats_url_with_websockets_and_without_is_refused() -> None:
    with pytest.raises(SettingError, match=r"^IMAGEGATEWAY_NATS_URL must not mix"):
        load(given(NATS_URL="nats://a:4222,wss://b"))


@pytest.mark.parametrize(
    "url", ["a", "ws://a,wss://b", "a:4222", "nats://u:p@a:4222,tls://b", "wss://a", "nats://[::1]:4222"]
)
def test_nats_url_with_servers_is_accepted(url: str) -> None:
    assert load(given(NATS_URL=url)).nats_url.reveal() == url


@pytest.mark.parametrize("url", ["https://*.example.com", 'https://a"b', "https://a\\b", "https://a/<path>"])
def test_public_url_with_characters_of_no_url_is_refused(url: str) -> None:
    with pytest.raises(SettingError, match=r"^IMAGEGATEWAY_PUBLIC_URL must "):
        load(given(PUBLIC_URL=url))


def test_settings_file_that_is_no_text_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "gateway.toml"
    file.write_bytes(b"\xff\xfe")
    monkeypatch.setenv("IMAGEGATEWAY_SETTINGS", str(file))
    with pytest.raises(SettingError, match=r"^IMAGEGATEWAY_SETTINGS: "):
        Source.load()
