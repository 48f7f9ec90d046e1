"""An HTTP proxy on 127.0.0.1: tunnels by CONNECT, whole URLs for plain http, credentials, refusals and failures."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator


@dataclass(slots=True)
class ProxyServer:
    """A running proxy. The fields change the treatment of later requests."""

    port: int = 0
    names: dict[str, str] = field(default_factory=dict)
    """Addresses that the proxy connects to, by the host in a request; others as requested."""
    credentials: str = ""
    """`user:password` that each request must carry."""
    status: int = 0
    """Status that answers every request."""
    is_silent: bool = False
    """Answer nothing."""
    hangs_up: bool = False
    """Close each connection after its request."""
    targets: list[str] = field(default_factory=list)
    """Method and target of each request."""
    heads: list[str] = field(default_factory=list)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            await self._serve(reader, writer)
        writer.close()
        self._writers.discard(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, _, rest = head.partition("\r\n")
        method, target, _ = line.split(" ")
        self.targets.append(f"{method} {target}")
        self.heads.append(head)
        if self.is_silent:
            await reader.read()
        if self.hangs_up or self.is_silent:
            return
        expected = "Basic " + base64.b64encode(self.credentials.encode()).decode()
        status = self.status
        if self.credentials and f"proxy-authorization: {expected}".lower() not in rest.lower():
            status = 407
        if status:
            writer.write(b"HTTP/1.1 %d Refused\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)
            await writer.drain()
            return
        url = urlsplit(f"//{target}" if method == "CONNECT" else target)
        host = url.hostname or ""
        try:
            inward, outward = await asyncio.open_connection(self.names.get(host, host), url.port or 80)
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()
            return
        self._writers.add(outward)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            outward.write(_forwarded(method, url.path or "/", url.query, url.netloc, rest).encode())
        async with asyncio.TaskGroup() as relays:
            relays.create_task(_relay(reader, outward))
            relays.create_task(_relay(inward, writer))
        self._writers.discard(outward)


@asynccontextmanager
async def proxy_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[ProxyServer]:
    """Run a proxy while the context lasts."""
    proxy = ProxyServer()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await server.wait_closed()


def _forwarded(method: str, path: str, query: str, netloc: str, headers: str) -> str:
    """Return the head of a forwarded request: the host is that of the URL (RFC 9112, 3.2.2)."""
    kept = [line for line in headers.split("\r\n") if line and not line.lower().startswith(("host:", "proxy-"))]
    target = f"{path}?{query}" if query else path
    return "\r\n".join([f"{method} {target} HTTP/1.1", f"host: {netloc}", *kept, "", ""])


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
