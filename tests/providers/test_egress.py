"""Calls to providers through an egress proxy: refusals, certificates and timeouts by settings."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.outbound.client import Outbound, UnsentError
from imagegateway.platform.setting_source import SettingError, Source
from imagegateway.platform.settings import load
from imagegateway.providers.bfl.adapter import BflAdapter
from imagegateway.providers.kit.endpoints import Endpoint
from imagegateway.providers.kit.error_table import Failure
from imagegateway.providers.kit.http_call import HttpSender
from imagegateway.providers.kit.http_messages import HttpRequest
from imagegateway.providers.kit.response_spool import ResponseSpool
from imagegateway.providers.kit.submission import is_safe_to_retry
from imagegateway.providers.setting_names import check_routes
from imagegateway.v1.error_reason_pb2 import ErrorReason
from structlog.testing import capture_logs

from tests.outbound.origin import Authority, answer, serve
from tests.outbound.proxy_server import proxy_server

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.platform.settings import Settings


def given(**values: object) -> Settings:
    return load(Source({f"IMAGEGATEWAY_{name}": str(value) for name, value in values.items()}))


async def read(outbound: Outbound, url: str) -> bytes:
    options: dict[str, Any] = {"headers": {}, "max_bytes": 1000, "seconds": 30.0}
    async with outbound.call("GET", url, **options) as incoming:
        return await incoming.read()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (403, ErrorReason.ERROR_REASON_PROVIDER_NOT_CONFIGURED),
        (407, ErrorReason.ERROR_REASON_PROVIDER_NOT_CONFIGURED),
        (502, ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE),
    ],
)
async def test_refusal_of_the_proxy_is_a_wrong_configuration_and_its_failure_is_retried(
    tmp_path: Path, status: int, reason: ErrorReason.ValueType
) -> None:
    async with proxy_server() as proxy:
        proxy.status = status
        current = given(BFL_API_KEY="key", EGRESS_PROXY=f"http://gate:s3cret@{proxy.address}")
        async with Outbound.open(current) as outbound:
            sender = HttpSender(outbound, ResponseSpool(1 << 20, tmp_path))
            endpoint = Endpoint.resolve(BflAdapter(), current, "")
            failure = await sender.send(BflAdapter(), endpoint, HttpRequest("POST", "/v1/flux"), "job")
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.may_be_billed) == (reason, False)
    assert is_safe_to_retry(failure) == (status == 502)
    assert ("IMAGEGATEWAY_EGRESS_PROXY" in failure.message) == (status != 502)
    assert "s3cret" not in failure.message


async def test_certificates_of_the_bundle_are_trusted_beside_the_public_ones(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with serve(answer(b"image"), authority.server) as origin:
        url = f"https://{origin.host}/"
        async with Outbound.open(given(CA_BUNDLE=authority.file)) as outbound:
            assert await read(outbound, url) == b"image"
        async with Outbound.open(given()) as outbound:
            with pytest.raises(UnsentError):
                await read(outbound, url)


async def test_log_line_of_a_call_says_that_the_certificate_is_not_trusted(tmp_path: Path) -> None:
    async with serve(answer(), Authority(tmp_path).server) as origin:
        current = given(BFL_API_KEY="key", BFL_BASE_URL=f"https://{origin.host}")
        async with Outbound.open(current) as outbound:
            sender = HttpSender(outbound, ResponseSpool(1 << 20, tmp_path))
            endpoint = Endpoint.resolve(BflAdapter(), current, "")
            with capture_logs() as lines:
                failure = await sender.send(BflAdapter(), endpoint, HttpRequest("POST", "/v1/flux"), "job")
    assert isinstance(failure, Failure)
    assert failure.reason == ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE
    assert [line["error"] for line in lines] == ["its server has no certificate that the gateway trusts"]


async def test_clients_of_a_process_load_the_certificates_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = given(CA_BUNDLE=Authority(tmp_path).file)
    loaded: list[ssl.SSLContext] = []

    def load(verify: ssl.SSLContext | None = None, **_: object) -> ssl.SSLContext:
        if verify is None:
            verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            loaded.append(verify)
        return verify

    monkeypatch.setattr("httpx.create_ssl_context", load)
    async with Outbound.open(current), Outbound.open(current):
        assert len(loaded) == 1


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_bundle_without_certificates_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "bundle.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingError, match=f"^IMAGEGATEWAY_CA_BUNDLE: {file}"):
        given(CA_BUNDLE=file)


def test_timeout_of_a_route_replaces_the_adapters() -> None:
    adapter = BflAdapter()
    assert Endpoint.resolve(adapter, given(), "key").timeout_seconds == adapter.timeout_seconds
    assert Endpoint.resolve(adapter, given(BFL_TIMEOUT=7.5), "key").timeout_seconds == 7.5
    assert Endpoint.resolve(adapter, given(FAL_TIMEOUT=7.5), "key").timeout_seconds == adapter.timeout_seconds


@pytest.mark.parametrize("value", ["0", "-1", "3601", "soon"])
def test_timeout_out_of_range_stops_the_start(value: str) -> None:
    with pytest.raises(SettingError, match="IMAGEGATEWAY_BFL_TIMEOUT"):
        check_routes(given(BFL_TIMEOUT=value))


@pytest.mark.parametrize(
    "url", ["api.example.com", "file:///etc", "https://", "https://a/v1?k=1", "https://a:0", "http://[a"]
)
def test_base_url_that_is_no_origin_stops_the_start(url: str) -> None:
    with pytest.raises(SettingError, match="IMAGEGATEWAY_BFL_BASE_URL must be an origin"):
        check_routes(given(BFL_BASE_URL=url))
    check_routes(given(BFL_BASE_URL="http://127.0.0.1:9/v1/"))


def test_address_of_a_family_without_a_port_stops_the_start() -> None:
    with pytest.raises(SettingError, match="IMAGEGATEWAY_OPENAI_URL"):
        check_routes(given(OPENAI_URL="tcp://providers"))
