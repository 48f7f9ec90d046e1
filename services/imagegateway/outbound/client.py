"""Outbound HTTP client, the only one of the gateway: httpx's API over aiohttp's transport.

`Outbound.stream` and `Outbound.post` call URLs from outside under the URL guard. `Outbound.call` calls the origins in
the settings without it.
"""

from __future__ import annotations

import asyncio
import io
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urljoin

import httpx  # noqa: TID251  this module is the outbound client
import orjson
from imagegateway.outbound.content_encoding import EncodingError, decode
from imagegateway.outbound.resolver import LOOKUP_SECONDS
from imagegateway.outbound.transport import GuardedResolver, Transport
from imagegateway.outbound.url_guard import NO_ANSWER, OutboundError, UrlGuard, UrlRefusedError
from imagegateway.platform.tenant_slots import TenantSlots

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    Write = Callable[[bytes], Awaitable[None]]

MAX_REDIRECTS: Final = 5
CONNECT_SECONDS: Final = 10.0
"""Timeout of TCP and TLS handshakes in seconds."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_TRANSIENT: Final = frozenset({408, 425, 429})
_HEADERS: Final = {"user-agent": "imagegateway", "accept-encoding": "identity"}
DOWNLOADS: Final = 100
"""Concurrent downloads. Further ones wait within their time limit."""
TENANT_DOWNLOADS: Final = 20
"""Concurrent downloads of one tenant."""
CHECKS: Final = 200
"""Concurrent DNS lookups for URL checks of requests."""
TENANT_CHECKS: Final = 10
"""Concurrent lookups of one tenant."""


class DownloadError(OutboundError):
    """The URL passed the guard, but no complete response arrived."""


class TooLargeError(OutboundError):
    """The response exceeds the size limit."""


class UnsentError(OutboundError):
    """The request certainly did not reach the server."""


class SentError(OutboundError):
    """The connection broke after data was sent. The server may have processed the request."""


@dataclass(frozen=True, slots=True)
class StreamingResponse:
    """Response of any status after its head. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    _response: httpx.Response
    _max_bytes: int

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives, in pieces of at most 1 MiB.

        Raises SentError for a truncated or undecodable body and one over the size limit, and TimeoutError.
        """
        size = 0
        try:
            async with aclosing(_decoded(self._response)) as chunks:
                with _call_errors():
                    async for chunk in chunks:
                        size += len(chunk)
                        if size > self._max_bytes:
                            raise SentError("its answer is too large")
                        yield chunk
        except EncodingError as error:
            raise SentError(f"its answer has {error}") from error

    async def read(self) -> bytes:
        """Return the whole body. Raises the errors of `chunks`."""
        body = io.BytesIO()
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                body.write(chunk)
        return body.getvalue()  # a joined list needs twice the memory


class Outbound:
    """HTTP clients of the process. Close with `aclose`, or use as a context manager.

    The clients ignore the environment's proxies, keep no cookies and follow no redirects. `tls` replaces the default
    certificates: certifi's, or those in SSL_CERT_FILE.
    """

    def __init__(self, guard: UrlGuard, tls: ssl.SSLContext | None = None) -> None:
        self.guard = guard
        tls = tls or httpx.create_ssl_context()
        self._guarded = _client(Transport(tls, GuardedResolver(guard)), read=None)
        self._trusted = _client(Transport(tls, None), read=60)
        self._downloads = TenantSlots(DOWNLOADS, TENANT_DOWNLOADS)
        self._checks = TenantSlots(CHECKS, TENANT_CHECKS)

    @property
    def trusted(self) -> httpx.AsyncClient:
        """For origins from the settings only: no guard checks where it goes. Reads end after 60 s idle."""
        return self._trusted

    async def __aenter__(self) -> Outbound:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._guarded.aclose()
        await self._trusted.aclose()
        await self.guard.aclose()

    async def check(self, url: str, tenant: str) -> None:
        """Check a tenant's URL for a later call, such as a webhook's. The call checks the URL again.

        Raises UrlRefusedError, a transient one when the DNS lookup takes longer than `LOOKUP_SECONDS`.
        """
        try:
            async with asyncio.timeout(LOOKUP_SECONDS), self._checks.hold(tenant):
                await self.guard.check(url)
        except TimeoutError:
            raise UrlRefusedError(NO_ANSWER, transient=True) from None

    async def stream(
        self,
        url: str,
        write: Write,
        *,
        tenant: str,
        max_bytes: int,
        seconds: float,
        idle_seconds: float | None = None,
    ) -> None:
        """GET a URL from outside, and pass its body to `write` as it arrives, in pieces of at most 1 MiB.

        Limits: `max_bytes` of decoded body, `seconds` in total, `idle_seconds` between pieces (None: no limit), and 5
        redirects, each under the guard. No credentials are sent. The download counts in the share of `tenant`.
        Raises UrlRefusedError, TooLargeError, DownloadError and the errors of `write`; the body is then incomplete.
        """
        try:
            async with asyncio.timeout(seconds), self._downloads.hold(tenant):
                await self._follow(url, write, max_bytes, idle_seconds)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise DownloadError("its server did not answer in time", transient=True) from error
        except (httpx.HTTPError, OSError) as error:
            raise DownloadError("the connection to its server failed", transient=True) from error

    @asynccontextmanager
    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        fields: Sequence[tuple[str, str]] = (),
        files: Sequence[tuple[str, tuple[str, bytes, str]]] = (),
        multipart: bool = False,
        max_bytes: int,
        seconds: float,
        guarded: bool = False,
    ) -> AsyncIterator[StreamingResponse]:
        """Call an origin in the settings, or with `guarded` any URL under the guard. Yield the response.

        The block reads the body. Call and block together may take `seconds`. Redirects are returned, not followed.
        Raises UnsentError, SentError, TimeoutError, and with `guarded` UrlRefusedError.
        """
        client = self._guarded if guarded else self._trusted
        url = self.guard.parse(url).url if guarded else url
        form = multipart or bool(files)
        parts = [(name, (None, value)) for name, value in fields] if form else None
        body = {} if json is None else {"content-type": "application/json"}
        async with asyncio.timeout(seconds):
            with _call_errors(guarded=guarded):
                request = client.build_request(
                    method,
                    url,
                    headers={**body, **headers},
                    params=dict(query) if query else None,
                    content=None if json is None else orjson.dumps(json),
                    data=dict(fields) if fields and not form else None,
                    files=[*(parts or ()), *files] or None,
                    # Inline providers are silent for minutes: only the total time has a limit.
                    timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS),
                )
                response = await client.send(request, stream=True)
            try:
                yield StreamingResponse(response.status_code, response.headers, response, max_bytes)
            finally:
                await response.aclose()

    async def post(self, url: str, *, content: bytes, headers: dict[str, str], seconds: float) -> int:
        """POST to a URL from outside within `seconds`, and return the status.

        Redirects are not followed, and the response's body is not read. Raises UrlRefusedError, DownloadError.
        """
        return await _post(self._guarded, self.guard.parse(url).url, content, headers, seconds)

    async def post_trusted(self, url: str, *, content: bytes, headers: dict[str, str], seconds: float) -> int:
        """POST to a URL from the settings, as `post` does. Raises UrlRefusedError, DownloadError."""
        return await _post(self._trusted, url, content, headers, seconds)

    async def _follow(self, url: str, write: Write, max_bytes: int, idle_seconds: float | None) -> None:
        target = self.guard.parse(url)
        for _ in range(MAX_REDIRECTS + 1):
            try:
                timeout = httpx.Timeout(idle_seconds, connect=CONNECT_SECONDS, pool=None)
                request = self._guarded.build_request("GET", target.url, timeout=timeout)
                response = await self._guarded.send(request, stream=True)
            except (httpx.InvalidURL, ValueError):
                # httpx is stricter than the guard about xn-- names, and parses the Location header too.
                raise UrlRefusedError("its host or the one it redirects to is malformed") from None
            try:
                if response.status_code not in _REDIRECTS:
                    await _write_body(response, write, max_bytes)
                    return
            finally:
                await response.aclose()
            location = response.headers.get("location", "")
            try:
                following = self.guard.parse(urljoin(target.url, location))
            except ValueError:
                raise UrlRefusedError("it redirects to a malformed URL") from None
            if target.scheme == "https" and following.scheme != "https":
                raise UrlRefusedError("it redirects from https to http")
            target = following
        raise DownloadError(f"it redirects more than {MAX_REDIRECTS} times")


@contextmanager
def _call_errors(*, guarded: bool = False) -> Iterator[None]:
    """Convert errors of a call: UnsentError when the server certainly received nothing, else SentError."""
    try:
        yield
    except (httpx.InvalidURL, UnicodeError) as error:
        # httpx is stricter than the guard about xn-- names.
        raise (UrlRefusedError if guarded else UnsentError)("its host is malformed") from error
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise UnsentError("the connection to its server failed", transient=True) from error
    except httpx.TimeoutException as error:
        raise TimeoutError from error
    except (httpx.HTTPError, OSError) as error:
        raise SentError("the connection to its server broke", transient=True) from error


def _client(transport: Transport, read: float | None) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=transport,
        trust_env=False,
        follow_redirects=False,
        headers=_HEADERS,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=httpx.Timeout(read, connect=CONNECT_SECONDS, pool=None),
    )


def _decoded(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """Return the body without its content encoding. httpx inflates a whole chunk at once."""
    return decode(
        cast("AsyncGenerator[bytes, None]", response.aiter_raw()), response.headers.get("content-encoding", "")
    )


async def _write_body(response: httpx.Response, write: Write, max_bytes: int) -> None:
    """Pass the response's body to `write`, until it is too large."""
    status = response.status_code
    if status != 200:
        raise DownloadError(
            f"its server answered with status {status}", transient=status >= 500 or status in _TRANSIENT
        )
    too_large = TooLargeError(f"it is larger than {max_bytes} bytes")
    declared = response.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise too_large
    size = 0
    try:
        async with aclosing(_decoded(response)) as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > max_bytes:
                    raise too_large
                await write(piece)
    except EncodingError as error:
        raise DownloadError(f"its server sent {error}") from error


async def _post(client: httpx.AsyncClient, url: str, content: bytes, headers: dict[str, str], seconds: float) -> int:
    try:
        async with asyncio.timeout(seconds):
            response = await client.send(
                client.build_request("POST", url, content=content, headers=headers), stream=True
            )
            await response.aclose()
    except (TimeoutError, httpx.TimeoutException) as error:
        raise DownloadError("its server did not answer in time", transient=True) from error
    except (httpx.HTTPError, OSError) as error:
        raise DownloadError("the connection to its server failed", transient=True) from error
    except (httpx.InvalidURL, ValueError):
        raise UrlRefusedError("its host is malformed") from None
    return response.status_code
