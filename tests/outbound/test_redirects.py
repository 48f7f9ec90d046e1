"""Redirects of downloads: each target is checked as the first URL is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from imagegateway.outbound.client import DownloadError, Outbound
from imagegateway.outbound.url_guard import UrlGuard, UrlRefusedError

from tests.outbound.downloads import fetch, redirect
from tests.outbound.origin import Authority, answer, serve
from tests.outbound.test_url_guard import FakeNameService

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed_to_allowed_hosts(status: int) -> None:
    async with (
        serve(answer(b"there", content_type="image/png")) as target,
        serve(redirect(target.url("/b"), status)) as start,
        Outbound(UrlGuard([start.host, target.host])) as outbound,
    ):
        assert await fetch(outbound, start.url()) == b"there"


async def test_relative_redirects_stay_on_the_origin() -> None:
    async def handle(request: web.BaseRequest) -> web.Response:
        if request.path == "/a/b":
            raise web.HTTPFound("../c?d=e")
        return web.Response(body=request.path_qs.encode())

    async with serve(handle) as origin, Outbound(UrlGuard([origin.host])) as outbound:
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
async def test_redirect_target_is_checked_like_the_first_url(location: str) -> None:
    async with serve(redirect(location)) as origin:
        async with Outbound(UrlGuard([origin.host], FakeNameService())) as outbound:
            with pytest.raises(UrlRefusedError):
                await fetch(outbound, origin.url())
        assert len(origin.requests) == 1


async def test_redirect_to_another_port_of_an_allowed_address_is_refused() -> None:
    async with serve(answer(b"secret")) as inside, serve(redirect(inside.url())) as origin:
        async with Outbound(UrlGuard([origin.host])) as outbound:
            with pytest.raises(UrlRefusedError):
                await fetch(outbound, origin.url())
        assert inside.requests == []


async def test_redirect_to_a_name_of_a_private_address_is_refused() -> None:
    async with serve(answer(b"secret")) as inside:
        names = FakeNameService(["127.0.0.1"])
        async with (
            serve(redirect(f"https://rebind.example:{inside.port}/")) as origin,
            Outbound(UrlGuard([origin.host], names)) as outbound,
        ):
            with pytest.raises(UrlRefusedError, match="no public address"):
                await fetch(outbound, origin.url())
        assert names.asked == [("rebind.example", inside.port)]
        assert inside.requests == []


async def test_at_most_five_redirects() -> None:
    async def handle(request: web.BaseRequest) -> web.Response:
        left = int(request.path[1:])
        return web.Response(status=302, headers={"location": f"/{left - 1}"}) if left else web.Response(body=b"x")

    async with serve(handle) as origin, Outbound(UrlGuard([origin.host])) as outbound:
        assert await fetch(outbound, origin.url("/5")) == b"x"
        origin.requests.clear()
        with pytest.raises(DownloadError, match="more than 5 times"):
            await fetch(outbound, origin.url("/6"))
        assert len(origin.requests) == 6


async def test_redirect_from_https_to_http_is_refused_even_to_an_allowed_host(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with serve(answer(b"plain")) as plain:
        async with serve(answer(status=302, location=plain.url()), authority.server) as origin:
            host = f"files.example:{origin.port}"
            guard = UrlGuard([host, plain.host], FakeNameService(["127.0.0.1"]))
            async with Outbound(guard, tls=authority.client) as outbound:
                with pytest.raises(UrlRefusedError, match="from https to http"):
                    await fetch(outbound, f"https://{host}/")
        assert plain.requests == []


async def test_redirect_from_https_to_https_is_followed(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with serve(answer(b"there"), authority.server) as target:
        location = f"https://files.example:{target.port}/"
        async with serve(redirect(location), authority.server) as origin:
            guard = UrlGuard(
                [f"files.example:{server.port}" for server in (origin, target)],
                FakeNameService(["127.0.0.1"], ["127.0.0.1"]),
            )
            async with Outbound(guard, tls=authority.client) as outbound:
                assert await fetch(outbound, f"https://files.example:{origin.port}/") == b"there"
