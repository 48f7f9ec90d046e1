"""Hosts that the HTTP client refuses although the URL guard takes them."""

from __future__ import annotations

import pytest
from imagegateway.outbound.client import Outbound
from imagegateway.outbound.url_guard import UrlGuard, UrlRefusedError

from tests.outbound.test_url_guard import PUBLIC, FakeNameService


async def test_download_from_a_malformed_host_is_refused_for_good() -> None:
    async def write(_piece: bytes) -> None:
        raise AssertionError

    async with Outbound(UrlGuard([], FakeNameService([PUBLIC]))) as outbound:
        with pytest.raises(UrlRefusedError, match="malformed") as refused:
            await outbound.stream("https://xn--a.example/", write, tenant="acme", max_bytes=10, seconds=30)
    assert not refused.value.transient
