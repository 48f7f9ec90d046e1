"""Egress proxies: precedence of variables, exempt hosts, and URLs that are no proxy."""

from __future__ import annotations

import base64

import pytest
from imagegateway.platform.egress_proxies import EgressProxies
from imagegateway.platform.setting_source import SettingError, Source
from imagegateway.platform.settings import load


def proxy_of(environ: dict[str, str], url: str = "https://api.example") -> str | None:
    scheme, _, host = url.partition("://")
    proxy = EgressProxies.load(Source(environ)).find(scheme, host, None)
    return proxy.url if proxy else None


def test_own_setting_precedes_shared_variables_for_both_schemes() -> None:
    environ = {"IMAGEGATEWAY_EGRESS_PROXY": "http://own:1", "HTTPS_PROXY": "http://shared:2"}
    assert proxy_of(environ) == "http://own:1"
    assert proxy_of(environ, "http://api.example") == "http://own:1"


def test_shared_variables_hold_for_their_scheme_and_lower_case_precedes() -> None:
    environ = {"HTTPS_PROXY": "http://upper:1", "https_proxy": "https://lower:2", "HTTP_PROXY": "http://plain"}
    assert proxy_of(environ) == "https://lower:2"
    assert proxy_of(environ, "http://api.example") == "http://plain:80"
    assert proxy_of({"HTTPS_PROXY": "http://upper:1"}, "http://api.example") is None
    assert proxy_of({}) is None


@pytest.mark.parametrize(
    ("exempt", "scheme", "host", "port"),
    [
        ("*", "https", "api.example", None),
        ("other, api.example", "https", "api.example", None),
        ("other api.example", "https", "eu.api.example", None),
        (".api.example", "https", "api.example", None),
        ("*.API.example", "https", "eu.api.example", None),
        ("api.example:443", "https", "api.example", None),
        ("api.example:8443", "https", "api.example", 8443),
        ("10.0.0.0/8", "https", "10.2.3.4", None),
        ("10.2.3.4", "https", "10.2.3.4", 8188),
        ("10.2.3.4:8188", "http", "10.2.3.4", 8188),
        ("fd00::/8", "https", "fd00::1", None),
        ("[fd00::1]:8188", "http", "fd00::1", 8188),
        ("", "http", "localhost", 8188),
        ("", "http", "comfy.localhost", 8188),
        ("", "http", "127.9.9.9", 8188),
        ("", "http", "::1", 8188),
    ],
)
def test_exempt_host_needs_no_proxy(exempt: str, scheme: str, host: str, port: int | None) -> None:
    proxies = EgressProxies.load(Source({"IMAGEGATEWAY_EGRESS_PROXY": "http://proxy:1", "NO_PROXY": exempt}))
    assert proxies.find(scheme, host, port) is None


@pytest.mark.parametrize(
    ("exempt", "scheme", "host", "port"),
    [
        ("api.example", "https", "notapi.example", None),
        ("api.example:8443", "https", "api.example", None),
        ("api.example:80", "https", "api.example", None),
        ("10.0.0.0/8", "https", "11.0.0.1", None),
        ("10.0.0.0/8", "https", "ten.example", None),
        ("10.2.3.4:8188", "http", "10.2.3.4", 80),
        ("., ,/", "https", "api.example", None),
    ],
)
def test_other_hosts_need_the_proxy(exempt: str, scheme: str, host: str, port: int | None) -> None:
    proxies = EgressProxies.load(Source({"IMAGEGATEWAY_EGRESS_PROXY": "http://proxy:1", "no_proxy": exempt}))
    assert proxies.find(scheme, host, port)


def test_credentials_are_decoded_and_shown_nowhere() -> None:
    settings = load(Source({"HTTPS_PROXY": "http://us%40er:p%3Ass@proxy.example:3128"}))
    proxy = EgressProxies.load(settings.source).find("https", "api.example", None)
    assert proxy
    assert base64.b64decode(proxy.authorization.reveal().removeprefix("Basic ")) == b"us@er:p:ss"
    assert proxy.url == "http://proxy.example:3128"
    assert "us%40er" not in repr(proxy)


@pytest.mark.parametrize(
    "text",
    ["socks5://proxy:1080", "http://", "http://:80", "ftp://proxy:21", "http://u:s3cret@proxy:x", "http://a/b"],
)
@pytest.mark.parametrize("name", ["IMAGEGATEWAY_EGRESS_PROXY", "HTTPS_PROXY", "HTTP_PROXY"])
def test_url_that_is_no_proxy_stops_the_start_without_its_credentials(name: str, text: str) -> None:
    with pytest.raises(SettingError, match=f"^{name} must be the URL of an HTTP proxy") as caught:
        load(Source({name: text}))
    assert "s3cret" not in str(caught.value)
