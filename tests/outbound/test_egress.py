"""The way out through a proxy: tunnels, checked addresses, and errors before and after the send."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from imagegateway.outbound.client import DownloadError, Outbound, SentError, UnsentError
from imagegateway.outbound.tunnel import ProxyRefusedError
from imagegateway.outbound.url_guard import UrlGuard, UrlRefusedError
from imagegateway.platform.egress_proxies import EgressProxies, Proxy
from structlog.testing import capture_logs

from tests.outbound.downloads import fetch, redirect
from tests.outbound.origin import Authority, answer, serve
from tests.outbound.proxy_server import proxy_server
from tests.outbound.test_url_guard import PUBLIC, FakeNameService

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.outbound.origin import Handler, Origin
    from tests.outbound.proxy_server import ProxyServer

HOST = "files.example"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def behind_proxy(
    authority: Authority,
    handler: Handler,
    *names: list[str],
    allow: tuple[str, ...] = (),
    plain: bool = False,
    proxy_tls: ssl.SSLContext | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Outbound, ProxyServer, Origin]]:
    """Serve `https://files.example` behind a proxy, which alone knows its address."""
    scheme = "https" if proxy_tls else "http"
    async with (
        serve(handler, None if plain else authority.server) as origin,
        proxy_server(proxy_tls) as proxy,
    ):
        proxy.names = {HOST: "127.0.0.1", PUBLIC: "127.0.0.1"}
        proxy.credentials = "gate:s3cret"
        via = Proxy.parse("PROXY", f"{scheme}://gate:s3cret@{proxy.address}")
        proxies = EgressProxies({"http": via, "https": via}, resolve_names=options.pop("resolve_names", False))
        guard = UrlGuard(allow, FakeNameService(*names))
        async with Outbound(guard, authority.client, proxies, **options) as outbound:
            yield outbound, proxy, origin


async def read(outbound: Outbound, url: str, **more: Any) -> bytes:
    options: dict[str, Any] = {"headers": {}, "max_bytes": 1000, "seconds": 30.0, **more}
    async with outbound.call("POST", url, **options) as incoming:
        return await incoming.read()


async def test_provider_is_called_by_name_through_a_tunnel_and_gets_no_proxy_credentials(
    authority: Authority,
) -> None:
    async with behind_proxy(authority, answer(b"image")) as (outbound, proxy, origin):
        for _ in range(2):
            assert await read(outbound, f"https://{HOST}:{origin.port}/v1", headers={"x-key": "k"}) == b"image"
        assert proxy.targets == [f"CONNECT {HOST}:{origin.port}"]  # one connection, kept
        assert "x-key" not in proxy.heads[0].lower()
        assert [request.headers["x-key"] for request in origin.requests] == ["k", "k"]
        assert not any("proxy" in name.lower() for request in origin.requests for name in request.headers)


async def test_url_from_outside_reaches_the_checked_address_under_its_name(authority: Authority) -> None:
    async with behind_proxy(authority, answer(b"image"), [PUBLIC]) as (outbound, proxy, origin):
        assert await fetch(outbound, f"https://{HOST}:{origin.port}/a%2Fb?c=%2F") == b"image"
        assert proxy.targets == [f"CONNECT {PUBLIC}:{origin.port}"]
        assert f"host: {PUBLIC}:{origin.port}" in proxy.heads[0].lower()
        assert authority.seen == [HOST]
        assert origin.requests[0].headers["host"] == f"{HOST}:{origin.port}"
        assert origin.requests[0].raw_path == "/a%2Fb?c=%2F"


async def test_ipv4_address_precedes_ipv6(authority: Authority) -> None:
    async with behind_proxy(authority, answer(b"image"), ["2606:4700::1", PUBLIC]) as (outbound, proxy, origin):
        assert await fetch(outbound, f"https://{HOST}:{origin.port}/") == b"image"
        assert proxy.targets == [f"CONNECT {PUBLIC}:{origin.port}"]


async def test_permitted_host_without_a_port_is_that_of_the_schemes_port(authority: Authority) -> None:
    async with behind_proxy(authority, answer(), allow=(f"{HOST}:443",)) as (outbound, proxy, _origin):
        proxy.status = 503
        with pytest.raises(DownloadError):
            await fetch(outbound, f"https://{HOST}/")
        assert proxy.targets == [f"CONNECT {HOST}:443"]


async def test_proxy_is_not_asked_for_a_name_that_moved_inside(authority: Authority) -> None:
    async with behind_proxy(authority, answer(), [PUBLIC], ["10.0.0.1"]) as (outbound, proxy, origin):
        url = f"https://{HOST}:{origin.port}/"
        assert await outbound.post(url, content=b"{}", headers={}, seconds=20) == 200
        with pytest.raises(UrlRefusedError):
            await outbound.post(url, content=b"{}", headers={}, seconds=20)
        assert proxy.targets == [f"CONNECT {PUBLIC}:{origin.port}"]


async def test_redirect_to_an_internal_name_is_refused_behind_a_proxy(authority: Authority) -> None:
    handler = redirect("https://inside.example/")
    async with behind_proxy(authority, handler, [PUBLIC], ["192.168.1.1"]) as (outbound, proxy, origin):
        with pytest.raises(UrlRefusedError):
            await fetch(outbound, f"https://{HOST}:{origin.port}/")
        assert proxy.targets == [f"CONNECT {PUBLIC}:{origin.port}"]


async def test_name_goes_to_a_proxy_that_resolves_names_and_is_not_looked_up_here(authority: Authority) -> None:
    async with behind_proxy(authority, answer(b"image"), resolve_names=True) as (outbound, proxy, origin):
        url = f"https://{HOST}:{origin.port}/"
        await outbound.check(url, "a")
        assert await fetch(outbound, url) == b"image"
        assert proxy.targets == [f"CONNECT {HOST}:{origin.port}"]
        for refused in ("https://10.0.0.1/", "http://files.example/", "https://inside/"):
            with pytest.raises(UrlRefusedError):
                await outbound.check(refused, "a")
            with pytest.raises(UrlRefusedError):
                await fetch(outbound, refused)


async def test_exempt_host_over_plain_http_goes_to_the_proxy_as_a_whole_url(authority: Authority) -> None:
    async with behind_proxy(authority, answer(b"image"), allow=(HOST,), plain=True) as (outbound, proxy, origin):
        assert await fetch(outbound, f"http://{HOST}:{origin.port}/a?b=c") == b"image"
        assert proxy.targets == [f"GET http://{HOST}:{origin.port}/a?b=c"]
        assert origin.requests[0].path_qs == "/a?b=c"


async def test_permitted_host_that_the_proxy_alone_can_resolve_is_not_looked_up_here(authority: Authority) -> None:
    async with behind_proxy(authority, answer(b"image"), [], allow=(HOST,)) as (outbound, proxy, origin):
        url = f"https://{HOST}:{origin.port}/"
        await outbound.check(url, "a")
        assert await fetch(outbound, url) == b"image"
        assert proxy.targets == [f"CONNECT {HOST}:{origin.port}"]
        with pytest.raises(UrlRefusedError, match="does not resolve"):
            await outbound.check("https://elsewhere.example/", "a")


async def test_loopback_needs_no_proxy(authority: Authority) -> None:
    async with behind_proxy(authority, answer(b"image"), plain=True) as (outbound, proxy, origin):
        assert await read(outbound, origin.url()) == b"image"
        assert proxy.targets == []


async def test_tunnel_through_a_proxy_that_speaks_tls(authority: Authority) -> None:
    tunnel = behind_proxy(authority, answer(b"image"), [PUBLIC], proxy_tls=authority.server)
    async with tunnel as (outbound, proxy, origin):
        assert await fetch(outbound, f"https://{HOST}:{origin.port}/") == b"image"
        assert proxy.targets == [f"CONNECT {PUBLIC}:{origin.port}"]


# ---- errors


async def test_provider_got_nothing_when_the_proxy_is_not_there(authority: Authority) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nothing listens there
        via = Proxy.parse("PROXY", f"http://127.0.0.1:{taken.getsockname()[1]}")
        async with Outbound(UrlGuard(()), authority.client, EgressProxies({"https": via})) as outbound:
            with pytest.raises(UnsentError):
                await read(outbound, f"https://{HOST}/")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_provider_got_nothing_when_the_proxy_can_not_reach_it(authority: Authority, status: int) -> None:
    async with behind_proxy(authority, answer()) as (outbound, proxy, origin):
        proxy.status = status
        with pytest.raises(UnsentError):
            await read(outbound, f"https://{HOST}:{origin.port}/")
        assert origin.requests == []


async def test_provider_got_nothing_when_the_proxy_hangs_up(authority: Authority) -> None:
    async with behind_proxy(authority, answer()) as (outbound, proxy, origin):
        proxy.hangs_up = True
        with pytest.raises(UnsentError):
            await read(outbound, f"https://{HOST}:{origin.port}/")


async def test_silent_proxy_ends_as_a_failed_connection_in_time(authority: Authority) -> None:
    async with behind_proxy(authority, answer(), connect_seconds=0.1) as (outbound, proxy, origin):
        proxy.is_silent = True
        with pytest.raises(UnsentError):
            await read(outbound, f"https://{HOST}:{origin.port}/")


async def test_server_of_another_name_behind_the_proxy_gets_nothing(authority: Authority) -> None:
    async with behind_proxy(authority, answer()) as (outbound, proxy, origin):
        proxy.names["other.example"] = "127.0.0.1"
        with pytest.raises(UnsentError):
            await read(outbound, f"https://other.example:{origin.port}/")
        assert origin.requests == []


@pytest.mark.parametrize("status", [403, 407])
async def test_refusal_of_the_proxy_is_not_the_providers_answer(authority: Authority, status: int) -> None:
    tunnel = behind_proxy(authority, answer(), [PUBLIC])
    with capture_logs() as lines:
        async with tunnel as (outbound, proxy, origin):
            proxy.status = status
            url = f"https://{HOST}:{origin.port}/"
            for attempt in (read(outbound, url), fetch(outbound, url)):
                with pytest.raises(ProxyRefusedError, match=f"the proxy .* refuses .*status {status}"):
                    await attempt
            assert origin.requests == []
    assert [(line["event"], line["status"], line["host"]) for line in lines] == [
        ("egress_proxy_refused", status, HOST),
        ("egress_proxy_refused", status, HOST),
    ]
    assert "s3cret" not in str(lines)
    assert "Basic" not in str(lines)


async def test_wrong_credentials_for_plain_http_are_the_proxys_refusal(authority: Authority) -> None:
    async with behind_proxy(authority, answer(), plain=True) as (outbound, proxy, origin):
        proxy.credentials = "gate:other"
        with pytest.raises(ProxyRefusedError):
            await read(outbound, f"http://{HOST}:{origin.port}/")


async def test_connection_that_the_proxy_cuts_after_the_request_may_have_been_served(authority: Authority) -> None:
    cut = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        await request.read()
        cut.set()
        await asyncio.Event().wait()
        return web.Response()

    async with behind_proxy(authority, hang) as (outbound, proxy, origin):
        call = asyncio.create_task(read(outbound, f"https://{HOST}:{origin.port}/", json={"prompt": "x"}))
        await cut.wait()
        proxy.cut()
        with pytest.raises(SentError):
            await call


async def test_download_through_a_dead_tunnel_may_be_repeated(authority: Authority) -> None:
    async with behind_proxy(authority, answer(), [PUBLIC]) as (outbound, proxy, origin):
        proxy.status = 503
        with pytest.raises(DownloadError) as caught:
            await fetch(outbound, f"https://{HOST}:{origin.port}/")
        assert caught.value.transient
