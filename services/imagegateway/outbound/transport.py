"""Transport: requests over aiohttp's connections. Only `outbound` uses it."""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_reqrep import ClientRequest
from aiohttp.http import StreamWriter
from imagegateway.outbound.http_spans import request_span, set_status

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from aiohttp.connector import Connection
    from imagegateway.outbound.messages import Request
    from imagegateway.outbound.url_guard import UrlGuard

CHUNK_BYTES: Final = 1 << 20
"""Bytes of a body per chunk, and in the read buffer. aiohttp's default, 64 KiB, splits an image into dozens of
chunks.
"""
_SMALL_BODY: Final = 32 * 1024
"""Most bytes of a body that is written at once: with its head less than a connection buffers."""


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


class _SmallRequest(ClientRequest):
    """Request that writes a small body at once.

    aiohttp writes every body in a task, in the next turn of the event loop: a fifth of what a small request costs.
    """

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        if not self._is_small() or conn.protocol is None or conn.protocol.writing_paused:
            return await super().send(conn)
        writer = StreamWriter(conn.protocol, self.loop)
        await writer.write_headers(f"{self.method} {self.url.raw_path_qs} HTTP/1.1", self.headers)
        await self.write_bytes(writer, conn, self._get_content_length())
        return self.response_class(
            self.method,
            self.original_url,
            writer=None,
            continue100=None,
            timer=self._timer,
            request_info=self.request_info,
            traces=[],
            loop=self.loop,
            session=self._session,
            stream_writer=writer,
        )

    def _is_small(self) -> bool:
        """Return whether the request is an HTTP/1.1 request with nothing special, and its body is small."""
        return (
            isinstance(self._body, aiohttp.BytesPayload)
            and (self._body.size or 0) <= _SMALL_BODY
            and self.proxy is None
            and not self.chunked
            and hdrs.CONTENT_TYPE in self.headers
            and hdrs.CONNECTION in self.headers
        )


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
            response = await self._open().request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                timeout=_timeouts(request.connect_seconds, request.idle_seconds),
                server_hostname=request.tls_name,
                **self.options(),
            )
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

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self.connector(),
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=CHUNK_BYTES,
                auto_decompress=False,
                trust_env=False,
                request_class=_SmallRequest,
            )
        return self._session


@lru_cache
def _timeouts(connect: float, idle: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(sock_connect=connect, sock_read=idle)
