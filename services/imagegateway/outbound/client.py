"""Outbound HTTP client, the only one of the gateway: aiohttp's connections, with precise errors.

`Outbound.stream` and `Outbound.post` call URLs from outside under the URL guard. `Outbound.call` calls the origins in
the settings without it.
"""

from __future__ import annotations

import asyncio
import io
import time
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin

import aiohttp
import httpx  # noqa: TID251  this module is the outbound client
from imagegateway.outbound.content_encoding import EncodingError, decode
from imagegateway.outbound.egress import EgressTransport
from imagegateway.outbound.messages import Request, exact_url, form_body, json_body, request_headers, response_headers
from imagegateway.outbound.resolver import LOOKUP_SECONDS
from imagegateway.outbound.transport import CHUNK_BYTES, GuardedResolver, Transport
from imagegateway.outbound.url_guard import NO_ANSWER, OutboundError, UrlGuard, UrlRefusedError
from imagegateway.platform import metrics
from imagegateway.platform.egress_proxies import EgressProxies
from imagegateway.platform.tenant_slots import TenantSlots

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from imagegateway.outbound.messages import Body, File
    from imagegateway.outbound.transport import Sender
    from imagegateway.platform.settings import Settings

    Write = Callable[[bytes], Awaitable[None]]

MAX_REDIRECTS: Final = 5
CONNECT_SECONDS: Final = 10.0
"""Timeout of TCP and TLS handshakes in seconds."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_TRANSIENT: Final = frozenset({408, 425, 429})
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


class UntrustedServerError(UnsentError):
    """The server has no certificate that this gateway trusts."""


class SentError(OutboundError):
    """The connection broke after data was sent. The server may have processed the request."""


@dataclass(frozen=True, slots=True)
class StreamingResponse:
    """Response of any status after its head. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    _body: aiohttp.StreamReader
    _max_bytes: int

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives, in pieces of at most 1 MiB.

        Raises SentError for a truncated or undecodable body and one over the size limit, and TimeoutError.
        """
        size = 0
        try:
            async with aclosing(_decoded(self._body, self.headers)) as chunks:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > self._max_bytes:
                        raise SentError("its answer is too large")
                    yield chunk
        except EncodingError as error:
            raise SentError(f"its answer has {error}") from error
        except _FAILURES as error:
            raise _call_error(error) from error

    async def read(self) -> bytes:
        """Return the whole body. Raises the errors of `chunks`."""
        body = io.BytesIO()
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                body.write(chunk)
        return body.getvalue()  # a joined list needs twice the memory


@cache
def _certificates(ca_bundle: str) -> ssl.SSLContext:
    """Return the context of all clients of the process: loading the certificates takes 50 ms and 1 MB."""
    tls = httpx.create_ssl_context()
    if ca_bundle:
        tls.load_verify_locations(ca_bundle)
    return tls


class Outbound:
    """HTTP clients of the process. Close with `aclose`, or use as a context manager.

    The clients keep no cookies and follow no redirects. `tls` replaces the default certificates: certifi's, or those
    in SSL_CERT_FILE. `proxies`: by default none. `connect_seconds` is the timeout of a connection with its TLS
    handshake, through a proxy too.
    """

    def __init__(
        self,
        guard: UrlGuard,
        tls: ssl.SSLContext | None = None,
        proxies: EgressProxies | None = None,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self.guard = guard
        self._proxies = proxies
        self._connect_seconds = connect_seconds
        tls = tls or _certificates("")
        self._guarded = self._sender(Transport(tls, GuardedResolver(guard)), tls, guard)
        self._trusted = self._sender(Transport(tls, None), tls, None)
        """For origins from the settings only: no guard checks where it goes."""
        self._downloads = TenantSlots(DOWNLOADS, TENANT_DOWNLOADS)
        self._checks = TenantSlots(CHECKS, TENANT_CHECKS)

    @classmethod
    def open(cls, settings: Settings) -> Outbound:
        """Return the clients that the settings describe. Raises SettingError."""
        egress = settings.egress
        proxies = EgressProxies.load(settings.source)
        return cls(
            UrlGuard(settings.allow_hosts),
            _certificates(egress.ca_bundle),
            proxies if proxies.by_scheme else None,
            egress.connect_timeout,
        )

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
        target = self.guard.parse(url)
        proxies = self._proxies
        if (
            proxies
            and (proxies.resolve_names or self.guard.is_exempt(target.host, target.port))
            and proxies.find(target.scheme, target.host, target.port)
        ):
            return  # the proxy resolves the name, which DNS here may not know
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
            with _timed_download():
                async with asyncio.timeout(seconds), self._downloads.hold(tenant):
                    await self._follow(url, write, max_bytes, idle_seconds)
        except TimeoutError as error:
            raise DownloadError("its server did not answer in time", transient=True) from error
        except (aiohttp.ClientError, OSError) as error:
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
        files: Sequence[File] = (),
        multipart: bool = False,
        max_bytes: int,
        seconds: float,
        guarded: bool = False,
    ) -> AsyncIterator[StreamingResponse]:
        """Call an origin in the settings, or with `guarded` any URL under the guard. Yield the response.

        The block reads the body. Call and block together may take `seconds`. Redirects are returned, not followed.
        Raises UnsentError, SentError, TimeoutError, and with `guarded` UrlRefusedError.
        """
        url = self.guard.parse(url).url if guarded else url
        own: dict[str, str] = {}
        body: Body = None
        if json is not None:
            own, body = json_body(json)
        elif fields or files or multipart:
            own, body = form_body(fields, files, multipart=multipart)
        async with asyncio.timeout(seconds):
            try:
                # Inline providers are silent for minutes: only the total time has a limit.
                request = Request(
                    method, exact_url(url, query), request_headers(own, headers), body, self._connect_seconds
                )
                response = await (self._guarded if guarded else self._trusted).send(request)
            except _FAILURES as error:
                raise _call_error(error, guarded=guarded) from error
            try:
                found = response_headers(response.raw_headers)
                yield StreamingResponse(response.status, found, response.content, max_bytes)
            finally:
                await _close(response)

    async def post(self, url: str, *, content: bytes, headers: dict[str, str], seconds: float) -> int:
        """POST to a URL from outside within `seconds`, and return the status.

        Redirects are not followed, and the response's body is not read. Raises UrlRefusedError, DownloadError.
        """
        return await self._post(self._guarded, self.guard.parse(url).url, content, headers, seconds)

    async def post_trusted(self, url: str, *, content: bytes, headers: dict[str, str], seconds: float) -> int:
        """POST to a URL from the settings, as `post` does. Raises UrlRefusedError, DownloadError."""
        return await self._post(self._trusted, url, content, headers, seconds)

    def _sender(self, direct: Transport, tls: ssl.SSLContext, guard: UrlGuard | None) -> Sender:
        return EgressTransport(direct, tls, self._proxies, guard) if self._proxies else direct

    async def _post(self, sender: Sender, url: str, content: bytes, headers: dict[str, str], seconds: float) -> int:
        try:
            async with asyncio.timeout(seconds):
                sent = request_headers({}, headers)
                response = await sender.send(Request("POST", exact_url(url), sent, content, self._connect_seconds))
                await _close(response)
        except TimeoutError as error:
            raise DownloadError("its server did not answer in time", transient=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise DownloadError("the connection to its server failed", transient=True) from error
        except (httpx.InvalidURL, UnicodeError):
            raise UrlRefusedError("its host is malformed") from None
        return response.status

    async def _follow(self, url: str, write: Write, max_bytes: int, idle_seconds: float | None) -> None:
        target = self.guard.parse(url)
        for _ in range(MAX_REDIRECTS + 1):
            try:
                exact = exact_url(target.url)
            except (httpx.InvalidURL, UnicodeError):
                # httpx is stricter than the guard about xn-- names.
                raise UrlRefusedError("its host or the one it redirects to is malformed") from None
            request = Request("GET", exact, request_headers({}, {}), None, self._connect_seconds, idle_seconds)
            response = await self._guarded.send(request)
            try:
                if response.status not in _REDIRECTS:
                    await _write_body(response, write, max_bytes)
                    return
            finally:
                await _close(response)
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
def _timed_download() -> Iterator[None]:
    """Count a download with its time."""
    began, outcome = time.perf_counter(), "failed"
    try:
        yield
        outcome = "done"
    except UrlRefusedError:
        outcome = "refused"
        raise
    finally:
        metrics.DOWNLOAD_SECONDS.labels(outcome).observe(time.perf_counter() - began)


_FAILURES: Final = (aiohttp.ClientError, httpx.InvalidURL, OSError, UnicodeError)
"""Exceptions of a call: `_call_error` returns what callers get."""


def _call_error(error: Exception, *, guarded: bool = False) -> OutboundError | TimeoutError:
    """Return the error of a failed call: UnsentError when the server certainly received nothing, else SentError.

    Their texts are not aiohttp's, which may contain the whole URL with its signature.
    """
    match error:
        case httpx.InvalidURL() | aiohttp.InvalidURL() | UnicodeError():
            # httpx is stricter than the guard about xn-- names.
            return (UrlRefusedError if guarded else UnsentError)("its host is malformed")
        case aiohttp.ClientConnectorCertificateError():
            return UntrustedServerError("its server has no certificate that the gateway trusts", transient=True)
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError():
            return UnsentError("the connection to its server failed", transient=True)
        case TimeoutError():
            return TimeoutError()
        case _:
            return SentError("the connection to its server broke", transient=True)


async def _close(response: aiohttp.ClientResponse) -> None:
    """Return the connection of a response for further requests, or close that of a body that was not read."""
    response.release()
    await response.wait_for_close()


def _decoded(body: aiohttp.StreamReader, headers: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
    """Return a body without its content encoding. aiohttp inflates a whole chunk at once."""
    return decode(_pieces(body), headers.get("content-encoding", ""))


async def _pieces(body: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    while piece := await body.read(CHUNK_BYTES):
        yield piece


async def _write_body(response: aiohttp.ClientResponse, write: Write, max_bytes: int) -> None:
    """Pass the response's body to `write`, until it is too large."""
    status = response.status
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
        async with aclosing(_decoded(response.content, response.headers)) as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > max_bytes:
                    raise too_large
                await write(piece)
    except EncodingError as error:
        raise DownloadError(f"its server sent {error}") from error
