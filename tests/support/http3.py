"""HTTP/3 client of the tests, on aioquic."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aioquic.quic.events import QuicEvent


@dataclass(slots=True)
class Http3Response:
    """A response; `ended` is set at its end."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def status(self) -> int:
        return int(self.headers[":status"])


class Http3Client(QuicConnectionProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._http = H3Connection(self._quic)
        self._responses: dict[int, Http3Response] = {}

    async def ask(
        self, method: str, origin: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Http3Response:
        """Send a request to an origin (`https://host:port`). Return the complete response."""
        stream = self._quic.get_next_available_stream_id()
        response = self._responses[stream] = Http3Response()
        given = {
            ":method": method,
            ":scheme": "https",
            ":authority": origin.removeprefix("https://"),
            ":path": path,
            **(headers or {}),
        }
        self._http.send_headers(stream, [(name.encode(), text.encode()) for name, text in given.items()], not body)
        if body:
            self._http.send_data(stream, body, end_stream=True)
        self.transmit()
        await response.ended.wait()
        return response

    def quic_event_received(self, event: QuicEvent) -> None:
        for received in self._http.handle_event(event):
            self._take(received)

    def _take(self, event: H3Event) -> None:
        if not isinstance(event, HeadersReceived | DataReceived):
            return
        response = self._responses[event.stream_id]
        if isinstance(event, HeadersReceived):
            response.headers |= {name.decode(): text.decode() for name, text in event.headers}
        else:
            response.body += event.data
        if event.stream_ended:
            response.ended.set()


@asynccontextmanager
async def connected(host: str, port: int, authority: bytes) -> AsyncIterator[Http3Client]:
    """Yield a connection to a server whose certificate this authority issued. Raises ConnectionError."""
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=True, server_name=host)
    configuration.verify_mode = ssl.CERT_REQUIRED
    configuration.load_verify_locations(cadata=authority)
    async with connect("127.0.0.1", port, configuration=configuration, create_protocol=Http3Client) as client:
        assert isinstance(client, Http3Client)
        yield client
