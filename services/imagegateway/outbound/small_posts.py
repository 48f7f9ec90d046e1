"""Small POST requests over aiohttp's connections, without the layers of its session.

Most calls of providers are such requests. The session would build a request object with all its parts for each, and
write the body in a task.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

import aiohttp
from aiohttp import hdrs
from aiohttp.client_reqrep import ClientRequest
from aiohttp.helpers import TimerNoop
from aiohttp.http import StreamWriter

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from imagegateway.outbound.messages import Request
    from yarl import URL

_SMALL_BODY: Final = 32 * 1024
"""Most bytes of a body that is written at once: with its head less than a connection buffers."""
_TARGETS: Final = 256


def small_body(request: Request) -> bytes | None:
    """Return the body of a request that `SmallPosts` sends; None for every other request."""
    url, body = request.url, request.body
    is_plain = url.raw_host and url.raw_user is None and url.raw_password is None
    is_small = isinstance(body, bytes) and len(body) <= _SMALL_BODY and "content-type" in request.headers
    return cast("bytes", body) if request.method == "POST" and is_plain and is_small else None


class SmallPosts:
    """Sender of small POST requests over the connections of a session, which it does not own.

    `read_bufsize`: bytes of a response that are read ahead.
    """

    def __init__(self, session: aiohttp.ClientSession, read_bufsize: int) -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._read_bufsize = read_bufsize
        self._target = lru_cache(_TARGETS)(self._open_target)

    async def send(self, request: Request, body: bytes, timeouts: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        """Send a request, and return its response after the head. Raises aiohttp's errors, OSError."""
        target = self._target(request.url.origin(), request.tls_name)
        connection = await self._connect(target, timeouts)
        try:
            writer = await self._write(connection, target, request, body)
        except BaseException:
            connection.close()
            raise
        response = aiohttp.ClientResponse(
            "POST",
            request.url,
            writer=None,
            continue100=None,
            timer=TimerNoop(),
            request_info=target.request_info,
            traces=[],
            loop=self._loop,
            session=self._session,
            stream_writer=writer,
        )
        try:
            return await response.start(connection)
        except BaseException:
            response.close()  # and the connection
            raise

    def _open_target(self, origin: URL, tls_name: str | None) -> ClientRequest:
        """Return the request by which aiohttp opens connections to an origin, and whose headers name the host."""
        return ClientRequest("POST", origin, loop=self._loop, session=self._session, server_hostname=tls_name)

    async def _connect(self, target: ClientRequest, timeouts: aiohttp.ClientTimeout) -> Connection:
        connector = cast("aiohttp.BaseConnector", self._session.connector)
        try:
            return await connector.connect(target, [], timeouts)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError("the connection timed out") from error

    async def _write(
        self, connection: Connection, target: ClientRequest, request: Request, body: bytes
    ) -> StreamWriter:
        """Write a request in one piece, and expect its response."""
        protocol = cast("ResponseHandler", connection.protocol)
        protocol.set_response_params(
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=request.idle_seconds,
            read_bufsize=self._read_bufsize,
        )
        headers = target.headers.copy()
        headers.update(request.headers)
        headers[hdrs.CONTENT_LENGTH] = str(len(body))
        writer = StreamWriter(protocol, self._loop)
        await writer.write_headers(f"POST {request.url.raw_path_qs} HTTP/1.1", headers)
        await writer.write_eof(body)
        protocol.start_timeout()
        return writer
