"""Address of a client, as Envoy passes it on."""

from __future__ import annotations

import pytest
from imagegateway.platform.client_address import client_address


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({"x-client-address": "203.0.113.9"}, "203.0.113.9"),
        ({"x-client-address": "2001:db8::9"}, "2001:db8::9"),
        ({"x-client-address": "/run/envoy-api.sock"}, "local"),
        ({"x-forwarded-for": "203.0.113.9"}, "local"),
    ],
)
def test_client_without_an_ip_address_is_local(headers: dict[str, str], address: str) -> None:
    assert client_address(headers) == address
