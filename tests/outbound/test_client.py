"""Downloads and calls against real servers on 127.0.0.1."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, NoReturn

import pytest
from aiohttp import web
from imagegateway.outbound.client import (
    DOWNLOADS,
    TENANT_DOWNLOADS,
    DownloadError,
    Outbound,
    SentError,
    TooLargeError,
    UnsentError,
)
from imagegateway.outbound.transport import GuardedResolver
from imagegateway.outbound.url_guard import UrlGuard, UrlRefusedError
from imagegateway.platform.spans import NO_SPAN, SpanKind

from tests.outbound.downloads import fetch
from tests.outbound.origin import Authority, answer, serve
from tests.outbound.test_url_guard import PUBLIC, FakeNameService
from tests.support.metrics import Added

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.platform.spans import Span


async def call(outbound: Outbound, url: str, seconds: float = 30.0, **headers: str) -> tuple[int, bytes]:
    """Call an origin of the settings, and return its status and body."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with outbound.call("POST", url, headers=given, json={}, max_bytes=1000, seconds=seconds) as response:
        return response.status, await response.read()


async def test_download_sends_no_cookie_credential_or_referer() -> None:
    body = b"x" * 1000
    async with (
        serve(answer(body, content_type="image/png", set_cookie="a=b")) as origin,
        Outbound(UrlGuard([origin.host])) as outbound,
    ):
        url = origin.url("/a%2Fb/c?sig=a%2Fb%2Bc%3D%7e&q=%20+'")
        assert await fetch(outbound, url) == body
        await fetch(outbound, url)
        for request in origin.requests:
            assert request.path_qs == request.raw_path == "/a%2Fb/c?sig=a%2Fb%2Bc%3D%7e&q=%20+'"
            assert request.headers["accept-encoding"] == "identity"
            assert not {"cookie", "authorization", "referer"} & {name.lower() for name in request.headers}
        assert len(origin.requests) == 2


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(answer(b"proxy")) as proxy, serve(answer(b"origin")) as origin:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        async with Outbound(UrlGuard([origin.host])) as outbound:
            assert await fetch(outbound, origin.url()) == b"origin"
            assert await call(outbound, origin.url()) == (200, b"origin")
        assert proxy.requests == []


async def test_download_connects_to_the_checked_addresses_only(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []

    async def refuse(addr_infos: list[tuple[object, ...]], **_options: object) -> NoReturn:
        tried.extend(info[4] for info in addr_infos)
        raise OSError("no network in this test")

    monkeypatch.setattr("aiohttp.connector.aiohappyeyeballs.start_connection", refuse)
    names = FakeNameService([PUBLIC, "2606:4700::1"], ["127.0.0.1"])
    async with Outbound(UrlGuard([], names)) as outbound:
        with pytest.raises(DownloadError, match="connection to its server failed"):
            await fetch(outbound, "https://a.example/")
        assert {address[0] for address in tried if isinstance(address, tuple)} == {PUBLIC, "2606:4700::1"}
        assert names.asked == [("a.example", 443)]
        tried.clear()
        # The name resolves to an internal address since: it is resolved and checked again, not called.
        with pytest.raises(UrlRefusedError):
            await fetch(outbound, "https://a.example/")
        assert tried == []


async def test_resolved_addresses_have_their_family() -> None:
    guard = UrlGuard((), FakeNameService([PUBLIC, "2606:4700::1"]))
    found = {address["host"]: address["family"] for address in await GuardedResolver(guard).resolve("a.example", 443)}
    assert found == {PUBLIC: socket.AF_INET, "2606:4700::1": socket.AF_INET6}


async def test_name_is_resolved_once_for_check_and_connection() -> None:
    async with serve(answer(b"checked")) as origin:
        names = FakeNameService(["127.0.0.1"])
        host = f"store.internal:{origin.port}"
        async with Outbound(UrlGuard([host], names)) as outbound:
            assert await fetch(outbound, f"http://{host}/") == b"checked"
        assert names.asked == [("store.internal", origin.port)]
        assert origin.requests[0].host == host


@pytest.mark.parametrize(
    ("status", "transient"), [(204, False), (206, False), (404, False), (429, True), (500, True), (503, True)]
)
async def test_status_outside_200_fails_and_5xx_and_429_are_transient(status: int, *, transient: bool) -> None:
    async with serve(answer(b"", status)) as origin, Outbound(UrlGuard([origin.host])) as outbound:
        with pytest.raises(DownloadError, match=f"status {status}") as caught:
            await fetch(outbound, origin.url())
        assert caught.value.transient is transient


async def test_downloads_count_by_outcome() -> None:
    added = Added()
    async with (
        serve(answer(b"x")) as origin,
        serve(answer(status=302, location="https://127.0.0.1/")) as away,
        Outbound(UrlGuard([origin.host, away.host])) as outbound,
    ):
        await fetch(outbound, origin.url())
        with pytest.raises(TooLargeError):
            await fetch(outbound, origin.url(), max_bytes=0)
        for url in ("https://127.0.0.1/", away.url()):
            with pytest.raises(UrlRefusedError):
                await fetch(outbound, url)
    assert added.series("imagegateway_download_duration_seconds_count") == {
        ("done",): 1,
        ("failed",): 1,
        ("refused",): 2,
    }


async def test_whole_download_is_limited_in_time() -> None:
    gone = asyncio.Event()

    async def handle(_request: web.BaseRequest) -> web.Response:
        await gone.wait()
        return web.Response()

    async with serve(handle) as origin, Outbound(UrlGuard([origin.host])) as outbound:
        with pytest.raises(DownloadError, match="in time") as caught:
            await fetch(outbound, origin.url(), seconds=0.05)
        assert caught.value.transient
        gone.set()


async def test_tenant_whose_downloads_hang_delays_no_other_tenant() -> None:
    reached, full, over = 0, asyncio.Event(), asyncio.Event()

    async def handle(request: web.BaseRequest) -> web.Response:
        nonlocal reached
        if request.path == "/hang":
            reached += 1
            if reached == TENANT_DOWNLOADS:
                full.set()
            await over.wait()
        return web.Response(body=b"x")

    async with serve(handle) as origin, Outbound(UrlGuard([origin.host])) as outbound:
        hanging = [
            asyncio.create_task(fetch(outbound, origin.url("/hang"), seconds=60)) for _ in range(2 * DOWNLOADS)
        ]
        async with asyncio.timeout(20):
            await full.wait()
            other = await fetch(outbound, origin.url("/"), tenant="b")
        assert other == b"x"
        assert reached == TENANT_DOWNLOADS
        over.set()
        await asyncio.gather(*hanging)


async def test_stalled_download_ends_and_a_slow_one_completes() -> None:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(4):
            await response.write(b"slow")
            await asyncio.sleep(0.3)
        if request.path == "/still":
            await asyncio.sleep(30)
        return response

    async with serve(handle) as origin, Outbound(UrlGuard([origin.host])) as outbound:
        slow = await fetch(outbound, origin.url("/slow"), idle_seconds=1.0)
        assert slow == b"slow" * 4
        with pytest.raises(DownloadError, match="in time") as caught:
            await fetch(outbound, origin.url("/still"), idle_seconds=1.0)
        assert caught.value.transient


async def raw_server(answer: bytes) -> asyncio.Server:
    """Serve one fixed response of raw bytes after each request head, then disconnect."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(handle, "127.0.0.1", 0)


@pytest.mark.parametrize("answer", [b"", b"not http\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"])
async def test_servers_that_hang_up_are_no_connect_errors(answer: bytes) -> None:
    server = await raw_server(answer)
    host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Outbound(UrlGuard([host])) as outbound:
        with pytest.raises(DownloadError) as caught:
            await fetch(outbound, f"http://{host}/")
        assert caught.value.transient
        with pytest.raises(SentError):
            await call(outbound, f"http://{host}/")


async def test_closed_ports_are_connect_errors() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{bound.getsockname()[1]}"
        async with Outbound(UrlGuard([host])) as outbound:
            with pytest.raises(DownloadError, match="connection to its server failed"):
                await fetch(outbound, f"http://{host}/?token=secret")
            with pytest.raises(UnsentError) as raised:
                await call(outbound, f"http://{host}/?token=secret")
            assert "secret" not in str(raised.value)


async def test_silent_servers_are_timeouts_and_not_connect_errors() -> None:
    gone = asyncio.Event()

    async def handle(_request: web.BaseRequest) -> web.Response:
        await gone.wait()
        return web.Response()

    async with serve(handle) as origin, Outbound(UrlGuard([])) as outbound:
        with pytest.raises(TimeoutError):
            await call(outbound, origin.url(), seconds=0.05)
        assert len(origin.requests) == 1
        gone.set()


async def test_calls_keep_no_cookies_and_follow_no_redirects() -> None:
    async with serve(answer(status=307, location="/b", set_cookie="a=b")) as origin:
        async with Outbound(UrlGuard([])) as outbound:
            for _ in range(2):
                assert (await call(outbound, origin.url("/a"), x_key="k"))[0] == 307
        assert [(request.path, request.headers["x-key"]) for request in origin.requests] == [("/a", "k")] * 2
        assert not any("cookie" in request.headers for request in origin.requests)


async def test_tls_is_checked_against_the_name_not_the_address(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    names = FakeNameService(["127.0.0.1"], ["127.0.0.1"])
    async with serve(answer(b"over tls"), authority.server) as origin:
        hosts = [f"files.example:{origin.port}", f"other.example:{origin.port}"]
        async with Outbound(UrlGuard(hosts, names), tls=authority.client) as outbound:
            assert await fetch(outbound, f"https://{hosts[0]}/") == b"over tls"
            with pytest.raises(DownloadError, match="connection to its server failed"):
                await fetch(outbound, f"https://{hosts[1]}/")
        assert authority.seen == ["files.example", "other.example"]
        assert len(origin.requests) == 1


async def test_call_is_a_span_with_its_method_and_server(monkeypatch: pytest.MonkeyPatch) -> None:
    spans: list[tuple[object, ...]] = []

    def start(name: str, kind: SpanKind, _parent: object, attributes: object) -> Span:
        spans.append((name, kind, attributes))
        return NO_SPAN

    async with serve(answer(b"a")) as origin, Outbound(UrlGuard([])) as outbound:
        await call(outbound, origin.url("/secret?key=k"))
        assert not spans
        monkeypatch.setattr("imagegateway.platform.tracing._Tracing.recorder", SimpleNamespace(start=start))
        await call(outbound, origin.url("/secret?key=k"))
    attributes = {"http.request.method": "POST", "server.address": "127.0.0.1", "server.port": origin.port}
    assert spans == [("POST", SpanKind.CLIENT, attributes)]
