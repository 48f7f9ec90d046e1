"""Transport: requests over aiohttp's connections. Only `outbound` uses it."""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from imagegateway.outbound.http_spans import request_span, set_status
from imagegateway.outbound.small_posts import SmallPosts, small_body

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from imagegateway.outbound.messages import Request
    from imagegateway.outbound.url_guard import UrlGuard

CHUNK_BYTES: Final = 1 << 20
"""Bytes of a body per chunk, and in the read buffer. aiohttp's default, 64 KiB, splits an image into dozens of
chunks.
"""


class Sender(Protocol):
    """Sender of requests."""

    async def send(self, request: Request) -> aiohttp.ClientResponse:
        """Send a request, and return its response after the head. Raises aiohttp's errors, OSError."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class GuardedResolver(AbstractResolver):
    """Resolver that returns only addresses which the URL guard has just checked."""

    def __init__(self, guard: UrlGuard) -> None:
        self._guard = guard

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in await self._guard.addresses(host, port)
        ]

    async def close(self) -> None:
        """Do nothing: the guard owns the resolver."""


class Transport:
    """Sender with one session, created by the first request because aiohttp needs a running event loop.

    `resolver` replaces aiohttp's resolver, which uses c-ares. Callers limit the number of connections. The session
    keeps no cookies and follows no redirects.
    """

    def __init__(self, tls: ssl.SSLContext, resolver: AbstractResolver | None) -> None:
        self._tls = tls
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request) -> aiohttp.ClientResponse:
        with request_span(request) as span:
            response = await self._respond(request)
            set_status(span, response.status)
        return response

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def connector(self) -> aiohttp.TCPConnector:
        """Return the connector of the session."""
        return aiohttp.TCPConnector(
            ssl=self._tls,
            resolver=self._resolver,
            # A cached name bypasses the guard's resolver.
            use_dns_cache=self._resolver is None,
            limit=0,
        )

    def options(self) -> Mapping[str, Any]:
        """Return further options of aiohttp for every request."""
        return {}

    async def _respond(self, request: Request) -> aiohttp.ClientResponse:
        session, options = self._open(), self.options()
        timeouts = _timeouts(request.connect_seconds, request.idle_seconds)
        body = None if options else small_body(request)
        if body is not None:
            return await self._posts.send(request, body, timeouts)
        return await session.request(
            request.method,
            request.url,
            headers=request.headers,
            data=request.body,
            allow_redirects=False,
            timeout=timeouts,
            server_hostname=request.tls_name,
            **options,
        )

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self.connector(),
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=CHUNK_BYTES,
                auto_decompress=False,
                trust_env=False,
            )
            self._posts = SmallPosts(self._session, CHUNK_BYTES)
        return self._session


@lru_cache
def _timeouts(connect: float, idle: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(sock_connect=connect, sock_read=idle)
