"""Downloads and the trusted client against real servers on 127.0.0.1."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from typing import TYPE_CHECKING, NoReturn

import httpx  # noqa: TID251  the errors that its clients raise
import pytest
from aiohttp import web
from imagegateway.outbound.client import DOWNLOADS, TENANT_DOWNLOADS, DownloadError, Outbound, TooLargeError
from imagegateway.outbound.url_guard import Guard, UrlRefusedError

from tests.outbound.origin import Authority, answer, serve
from tests.outbound.test_url_guard import PUBLIC, FakeNameService

if TYPE_CHECKING:
    from pathlib import Path

    from tests.outbound.origin import Handler


async def fetch(
    outbound: Outbound,
    url: str,
    max_bytes: int = 1000,
    seconds: float = 20,
    *,
    tenant: str = "a",
    idle_seconds: float | None = None,
) -> bytes:
    body = bytearray()

    async def write(piece: bytes) -> None:
        body.extend(piece)

    await outbound.stream(url, write, tenant=tenant, max_bytes=max_bytes, seconds=seconds, idle_seconds=idle_seconds)
    return bytes(body)


def redirect(location: str, status: int = 302) -> Handler:
    return answer(status=status, location=location)


async def test_download_sends_no_more_than_it_must() -> None:
    body = b"x" * 1000
    async with (
        serve(answer(body, content_type="image/png", set_cookie="a=b")) as origin,
        Outbound(Guard([origin.host])) as outbound,
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
        async with Outbound(Guard([origin.host])) as outbound:
            assert await fetch(outbound, origin.url()) == b"origin"
            assert (await outbound.trusted.get(origin.url())).content == b"origin"
        assert proxy.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed_to_allowed_hosts(status: int) -> None:
    async with (
        serve(answer(b"there", content_type="image/png")) as target,
        serve(redirect(target.url("/b"), status)) as start,
        Outbound(Guard([start.host, target.host])) as outbound,
    ):
        assert await fetch(outbound, start.url()) == b"there"


async def test_relative_redirects_stay_on_the_origin() -> None:
    async def handle(request: web.BaseRequest) -> web.Response:
        if request.path == "/a/b":
            raise web.HTTPFound("../c?d=e")
        return web.Response(body=request.path_qs.encode())

    async with serve(handle) as origin, Outbound(Guard([origin.host])) as outbound:
        assert await fetch(outbound, origin.url("/a/b")) == b"/c?d=e"


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[fd00:ec2::254]/latest/meta-data/",
        "https://[::ffff:169.254.169.254]/",
        "https://2852039166/",
        "//0xa9fea9fe/",
        "file:///etc/passwd",
        "https://user:secret@a.example/",
        "https://[bad",
        "https://xn--0.example/",
        "\\\\127.0.0.1\\x",
    ],
)
async def test_redirects_are_checked_like_first_urls(location: str) -> None:
    async with serve(redirect(location)) as origin:
        async with Outbound(Guard([origin.host], FakeNameService())) as outbound:
            with pytest.raises(UrlRefusedError):
                await fetch(outbound, origin.url())
        assert len(origin.requests) == 1


async def test_redirect_to_another_port_of_an_allowed_address_is_refused() -> None:
    async with serve(answer(b"secret")) as inside, serve(redirect(inside.url())) as origin:
        async with Outbound(Guard([origin.host])) as outbound:
            with pytest.raises(UrlRefusedError):
                await fetch(outbound, origin.url())
        assert inside.requests == []


async def test_redirect_to_a_name_that_leads_inside_is_refused() -> None:
    async with serve(answer(b"secret")) as inside:
        names = FakeNameService(["127.0.0.1"])
        async with (
            serve(redirect(f"https://rebind.example:{inside.port}/")) as origin,
            Outbound(Guard([origin.host], names)) as outbound,
        ):
            with pytest.raises(UrlRefusedError, match="no public address"):
                await fetch(outbound, origin.url())
        assert names.asked == [("rebind.example", inside.port)]
        assert inside.requests == []


async def test_at_most_five_redirects() -> None:
    async def handle(request: web.BaseRequest) -> web.Response:
        left = int(request.path[1:])
        return web.Response(status=302, headers={"location": f"/{left - 1}"}) if left else web.Response(body=b"x")

    async with serve(handle) as origin, Outbound(Guard([origin.host])) as outbound:
        assert await fetch(outbound, origin.url("/5")) == b"x"
        origin.requests.clear()
        with pytest.raises(DownloadError, match="more than 5 times"):
            await fetch(outbound, origin.url("/6"))
        assert len(origin.requests) == 6


async def test_connects_to_the_checked_addresses_only(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []

    async def refuse(addr_infos: list[tuple[object, ...]], **_options: object) -> NoReturn:
        tried.extend(info[4] for info in addr_infos)
        raise OSError("no network in this test")

    monkeypatch.setattr("aiohttp.connector.aiohappyeyeballs.start_connection", refuse)
    names = FakeNameService([PUBLIC, "2606:4700::1"], ["127.0.0.1"])
    async with Outbound(Guard([], names)) as outbound:
        with pytest.raises(DownloadError, match="connection to its server failed"):
            await fetch(outbound, "https://a.example/")
        assert {address[0] for address in tried if isinstance(address, tuple)} == {PUBLIC, "2606:4700::1"}
        assert names.asked == [("a.example", 443)]
        tried.clear()
        # The name resolves to an internal address since: it is resolved and checked again, not called.
        with pytest.raises(UrlRefusedError):
            await fetch(outbound, "https://a.example/")
        assert tried == []


async def test_second_answer_of_a_name_service_is_never_asked_for() -> None:
    async with serve(answer(b"checked")) as origin:
        names = FakeNameService(["127.0.0.1"])
        host = f"store.internal:{origin.port}"
        async with Outbound(Guard([host], names)) as outbound:
            assert await fetch(outbound, f"http://{host}/") == b"checked"
        assert names.asked == [("store.internal", origin.port)]
        assert origin.requests[0].host == host


async def test_declared_length_over_the_cap_is_refused_before_the_body() -> None:
    gone = asyncio.Event()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "1001"})
        await response.prepare(request)
        await gone.wait()
        return response

    async with serve(handle) as origin, Outbound(Guard([origin.host])) as outbound:
        with pytest.raises(TooLargeError):
            await fetch(outbound, origin.url())
        gone.set()


async def test_stream_without_length_is_left_at_the_cap() -> None:
    sent = 0
    left = asyncio.Event()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
                sent += 65536
        except ConnectionError:
            left.set()
            raise

    async with serve(handle) as origin, Outbound(Guard([origin.host])) as outbound:
        with pytest.raises(TooLargeError):
            await fetch(outbound, origin.url(), max_bytes=100_000)
        async with asyncio.timeout(20):
            await left.wait()
        assert 100_000 < sent < 50_000_000


async def test_cap_itself_passes() -> None:
    async with serve(answer(b"x" * 1000)) as origin, Outbound(Guard([origin.host])) as outbound:
        assert len(await fetch(outbound, origin.url(), max_bytes=1000)) == 1000
        with pytest.raises(TooLargeError):
            await fetch(outbound, origin.url(), max_bytes=999)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"plain", "identity"),
        (gzip.compress(b"plain", mtime=0), "gzip"),
        (gzip.compress(b"plain", mtime=0), "X-GZIP"),
        (zlib.compress(b"plain"), "deflate"),
    ],
)
async def test_stored_encodings_are_undone(body: bytes, encoding: str) -> None:
    async with (
        serve(answer(body, content_encoding=encoding)) as origin,
        Outbound(Guard([origin.host])) as outbound,
    ):
        assert await fetch(outbound, origin.url()) == b"plain"


async def test_cap_counts_decoded_bytes() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    async with (
        serve(answer(bomb, content_encoding="gzip")) as origin,
        Outbound(Guard([origin.host])) as outbound,
    ):
        with pytest.raises(TooLargeError):
            await fetch(outbound, origin.url(), max_bytes=49_999_999)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"plain", "br"),
        (b"plain", "gzip, gzip"),
        (b"not gzip at all", "gzip"),
        (gzip.compress(b"plain", mtime=0)[:-4], "gzip"),
        (gzip.compress(b"plain", mtime=0) + b"more", "gzip"),
    ],
)
async def test_other_and_damaged_encodings_are_refused(body: bytes, encoding: str) -> None:
    async with (
        serve(answer(body, content_encoding=encoding)) as origin,
        Outbound(Guard([origin.host])) as outbound,
    ):
        with pytest.raises(DownloadError, match="content encoding"):
            await fetch(outbound, origin.url())


@pytest.mark.parametrize(
    ("status", "transient"), [(204, False), (206, False), (404, False), (429, True), (500, True), (503, True)]
)
async def test_statuses(status: int, *, transient: bool) -> None:
    async with serve(answer(b"", status)) as origin, Outbound(Guard([origin.host])) as outbound:
        with pytest.raises(DownloadError, match=f"status {status}") as caught:
            await fetch(outbound, origin.url())
        assert caught.value.transient is transient


async def test_whole_download_is_limited_in_time() -> None:
    gone = asyncio.Event()

    async def handle(_request: web.BaseRequest) -> web.Response:
        await gone.wait()
        return web.Response()

    async with serve(handle) as origin, Outbound(Guard([origin.host])) as outbound:
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

    async with serve(handle) as origin, Outbound(Guard([origin.host])) as outbound:
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


async def test_download_that_stands_still_is_ended_and_a_slow_one_is_not() -> None:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(4):
            await response.write(b"slow")
            await asyncio.sleep(0.1)
        if request.path == "/still":
            await asyncio.sleep(5)
        return response

    async with serve(handle) as origin, Outbound(Guard([origin.host])) as outbound:
        slow = await fetch(outbound, origin.url("/slow"), idle_seconds=0.3)
        assert slow == b"slow" * 4
        with pytest.raises(DownloadError, match="in time") as caught:
            await fetch(outbound, origin.url("/still"), idle_seconds=0.3)
        assert caught.value.transient


async def raw_server(answer: bytes) -> asyncio.Server:
    """Serve one fixed response of raw bytes after each request head, then disconnect."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(handle, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", httpx.RemoteProtocolError),
        (b"not http\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", httpx.ReadError),
    ],
)
async def test_servers_that_hang_up_are_no_connect_errors(answer: bytes, error: type[Exception]) -> None:
    server = await raw_server(answer)
    host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Outbound(Guard([host])) as outbound:
        with pytest.raises(DownloadError) as caught:
            await fetch(outbound, f"http://{host}/")
        assert caught.value.transient
        with pytest.raises(httpx.HTTPError) as raised:
            await outbound.trusted.post(f"http://{host}/", content=b"{}")
        assert type(raised.value) is error


async def test_closed_ports_are_connect_errors() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{bound.getsockname()[1]}"
        async with Outbound(Guard([host])) as outbound:
            with pytest.raises(DownloadError, match="connection to its server failed"):
                await fetch(outbound, f"http://{host}/?token=secret")
            with pytest.raises(httpx.HTTPError) as raised:
                await outbound.trusted.post(f"http://{host}/?token=secret", content=b"{}")
            assert type(raised.value) is httpx.ConnectError
            assert "secret" not in str(raised.value)


async def test_silent_servers_are_read_timeouts() -> None:
    gone = asyncio.Event()

    async def handle(_request: web.BaseRequest) -> web.Response:
        await gone.wait()
        return web.Response()

    async with serve(handle) as origin, Outbound(Guard([])) as outbound:
        with pytest.raises(httpx.HTTPError) as raised:
            await outbound.trusted.post(origin.url(), content=b"{}", timeout=0.05)
        assert type(raised.value) is httpx.ReadTimeout
        assert len(origin.requests) == 1
        gone.set()


async def test_trusted_client_keeps_nothing_and_follows_nothing() -> None:
    async with serve(answer(status=307, location="/b", set_cookie="a=b")) as origin:
        async with Outbound(Guard([])) as outbound:
            for _ in range(2):
                response = await outbound.trusted.post(origin.url("/a"), content=b"{}", headers={"x-key": "k"})
                assert response.status_code == 307
        assert [(request.path, request.headers["x-key"]) for request in origin.requests] == [("/a", "k")] * 2
        assert not any("cookie" in request.headers for request in origin.requests)


async def test_tls_is_checked_against_the_name_not_the_address(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    names = FakeNameService(["127.0.0.1"], ["127.0.0.1"])
    async with serve(answer(b"over tls"), authority.server) as origin:
        hosts = [f"files.example:{origin.port}", f"other.example:{origin.port}"]
        async with Outbound(Guard(hosts, names), tls=authority.client) as outbound:
            assert await fetch(outbound, f"https://{hosts[0]}/") == b"over tls"
            with pytest.raises(DownloadError, match="connection to its server failed"):
                await fetch(outbound, f"https://{hosts[1]}/")
        assert authority.seen == ["files.example", "other.example"]
        assert len(origin.requests) == 1


async def test_redirect_from_https_to_http_is_refused_even_to_an_allowed_host(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with serve(answer(b"plain")) as plain:
        async with serve(answer(status=302, location=plain.url()), authority.server) as origin:
            host = f"files.example:{origin.port}"
            guard = Guard([host, plain.host], FakeNameService(["127.0.0.1"]))
            async with Outbound(guard, tls=authority.client) as outbound:
                with pytest.raises(UrlRefusedError, match="from https to http"):
                    await fetch(outbound, f"https://{host}/")
        assert plain.requests == []
