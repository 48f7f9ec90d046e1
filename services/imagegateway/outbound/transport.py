"""Transport: aiohttp's connections under httpx's API, with precise errors. Only `outbound` uses it."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp
import httpx  # noqa: TID251  part of the outbound client
from aiohttp.abc import AbstractResolver, ResolveResult
from httpx_aiohttp import AiohttpTransport
from yarl import URL

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator

    from httpx_aiohttp.transport import AiohttpResponseStream
    from imagegateway.outbound.url_guard import UrlGuard

_CHUNK_BYTES: Final = 1 << 20
"""Bytes of a body per chunk, and in the read buffer. The defaults, 16 and 64 KiB, split an image into about a hundred
chunks.
"""


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


class _ExactSession:
    """Adapter of ClientSession that sends each URL as written.

    aiohttp unquotes some characters (`%2F` in a query), which breaks signatures over the raw query.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    def request(self, method: str, url: str, **options: Any) -> object:
        return self._session.request(method, URL(url, encoded=True), **options)


_TRUE_ERRORS: Final[tuple[tuple[type[Exception], type[httpx.TransportError]], ...]] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.ClientError, httpx.ReadError),
)
"""httpx's error for each of aiohttp's. The first match counts."""


@contextmanager
def _true_errors() -> Iterator[None]:
    """Raise connect errors only for connections that failed.

    The original transport raises ConnectTimeout for a server that disconnects after it received the request. Callers
    repeat requests that were never sent, so that error must be another one.
    """
    try:
        yield
    except (httpx.TransportError, aiohttp.ClientError) as error:
        cause = error.__cause__ if isinstance(error, httpx.TransportError) else error
        for kind, true in _TRUE_ERRORS:
            if isinstance(cause, kind):
                # aiohttp's text may contain the whole URL, with its signature.
                raise true(type(cause).__name__) from cause
        raise


class _Stream(httpx.AsyncByteStream):
    """Body stream that raises httpx's errors."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _true_errors():
            async for chunk in self._stream:
                yield chunk

    async def aclose(self) -> None:
        with _true_errors():
            await self._stream.aclose()


class Transport(AiohttpTransport):
    """Transport with one session, created by the first request because aiohttp needs a running event loop.

    `resolver` replaces aiohttp's resolver, which uses c-ares. Callers limit the number of connections.
    """

    def __init__(self, tls: ssl.SSLContext, resolver: AbstractResolver | None) -> None:
        super().__init__(verify=tls, trust_env=False)
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    def get_client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=self.ssl_context,
                    resolver=self._resolver,
                    # A cached name bypasses the guard's resolver.
                    use_dns_cache=self._resolver is None,
                    limit=0,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=_CHUNK_BYTES,
                trust_env=False,
            )
        return cast("aiohttp.ClientSession", _ExactSession(self._session))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with _true_errors():
            response = await super().handle_async_request(request)
        stream = cast("AiohttpResponseStream", response.stream)
        stream.CHUNK_SIZE = _CHUNK_BYTES
        response.stream = _Stream(stream)
        return response

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
