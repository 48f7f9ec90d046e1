"""Endpoint of a route: its base URL, and the only addresses that receive its key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.platform import setting_source, settings
from imagegateway.platform.errors import GatewayError
from imagegateway.providers.bfl.adapter import BflAdapter
from imagegateway.providers.kit.endpoints import Endpoint
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from pathlib import Path

ENDPOINT = Endpoint("https://api.acme.example:8443/v1", "secret", 180)
HOSTS = ("results.acme.example", "*.cdn.acme.example")


def resolve(credential: str = "", **values: str) -> Endpoint:
    named = {f"IMAGEGATEWAY_{name}": value for name, value in values.items()}
    return Endpoint.resolve(BflAdapter(), settings.load(setting_source.Source(named)), credential)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.acme.example:8443/other",
        "https://results.acme.example/a.png",
        "https://eu.cdn.acme.example/a.png",
        "https://a.b.cdn.acme.example/a.png",
    ],
)
def test_own_origin_and_trusted_hosts_receive_the_key(url: str) -> None:
    assert ENDPOINT.trusts(url, HOSTS)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.acme.example/v1",
        "http://api.acme.example:8443/v1",
        "http://results.acme.example/a.png",
        "https://other.acme.example/a.png",
        "https://cdn.acme.example/a.png",
        "https://evilcdn.acme.example/a.png",
        "https://results.acme.example.evil.example/a.png",
        "https://results.acme.example@evil.example/a.png",
        "https:///a.png",
    ],
)
def test_other_addresses_do_not_receive_the_key(url: str) -> None:
    assert not ENDPOINT.trusts(url, HOSTS)


def test_path_is_under_the_base_url_and_an_absolute_url_stays() -> None:
    assert ENDPOINT.url("/images") == "https://api.acme.example:8443/v1/images"
    for url in ("https://results.acme.example/a", "http://results.acme.example/a"):
        assert ENDPOINT.url(url) == url


def test_callers_own_key_precedes_the_operators() -> None:
    assert resolve(BFL_API_KEY="operator").key == "operator"
    assert resolve("own", BFL_API_KEY="operator").key == "own"


def test_key_in_a_file_is_read_again_for_later_calls_only(tmp_path: Path) -> None:
    file = tmp_path / "bfl"
    file.write_text("first")
    current = settings.load(setting_source.Source({"IMAGEGATEWAY_BFL_API_KEY_FILE": str(file)}))
    before = Endpoint.resolve(BflAdapter(), current, "")
    file.write_text("second")
    current.source.secret_files["BFL_API_KEY"].reload()
    assert (before.key, Endpoint.resolve(BflAdapter(), current, "").key) == ("first", "second")


def test_route_without_a_key_is_refused_by_the_name_of_its_setting() -> None:
    with pytest.raises(GatewayError, match="IMAGEGATEWAY_BFL_API_KEY") as refused:
        resolve()
    assert refused.value.reason == ErrorReason.ERROR_REASON_PROVIDER_NOT_CONFIGURED


def test_slash_at_the_end_of_a_configured_base_url_does_not_count() -> None:
    assert resolve("own", BFL_BASE_URL="http://127.0.0.1:9/v1/").base_url == "http://127.0.0.1:9/v1"


def test_timeout_is_that_of_the_setting_else_of_the_adapter() -> None:
    assert resolve("own").timeout_seconds == BflAdapter().timeout_seconds
    assert resolve("own", BFL_TIMEOUT="7").timeout_seconds == 7
