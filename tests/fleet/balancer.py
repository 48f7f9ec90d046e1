"""Load balancer before several Envoys, as a cloud has one: each connection goes to an Envoy that reports ready.

It listens in plain text on a loopback port and dials TLS, so that every client reaches the Envoys' public port and
every connection checks its certificate.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.fleet.hosts import Address

NAME: Final = "images.example"
"""DNS name in the Envoys' certificates."""
_HTTP2: Final = b"PRI * HTTP/2"
"""Start of a connection with HTTP/2."""
_PROBE_SECONDS: Final = 0.2
_PROBE_TIMEOUT: Final = 1.0
_CONNECT_SECONDS: Final = 15.0
_PIECE: Final = 256 * 1024


@dataclass(slots=True)
class Target:
    """An Envoy: its public port and the port for metrics, whose `/readyz` the balancer follows."""

    name: str
    public: Address
    metrics: Address
    is_ready: bool = False


@dataclass(slots=True)
class Balancer:
    """A running load balancer."""

    targets: Sequence[Target]
    contexts: Mapping[str, ssl.SSLContext]
    """TLS contexts by protocol."""
    port: int = 0
    chosen: frozenset[str] = frozenset()
    """Names of the only Envoys for new connections; empty: all."""
    refused: list[str] = field(default_factory=list)
    """Connections that a ready Envoy did not accept."""
    _turns: Iterator[int] = field(default_factory=itertools.count)

    @contextmanager
    def only(self, *names: str) -> Iterator[None]:
        """Send new connections to these Envoys alone within the context."""
        self.chosen = frozenset(names)
        try:
            yield
        finally:
            self.chosen = frozenset()

    async def serve(self, started: threading.Event, stopped: asyncio.Event) -> None:
        """Listen on a free loopback port until `stopped`."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_PROBE_TIMEOUT)) as client,
            asyncio.TaskGroup() as group,
        ):
            for target in self.targets:
                group.create_task(_follow(target, client))
            started.set()
            await stopped.wait()
            server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            try:
                await self._relay(reader, writer)
            finally:
                writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(_PIECE)
        if not first:
            return
        target = await self._target()
        context = self.contexts["h2" if first.startswith(_HTTP2) else "http/1.1"]
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                up_reader, up_writer = await asyncio.open_connection(
                    target.public.host, target.public.port, ssl=context, server_hostname=NAME
                )
        except OSError as error:  # TimeoutError and SSLError too
            self.refused.append(f"{target.name}: {error!r}")
            return
        try:
            up_writer.write(first)
            ways = {asyncio.create_task(_pipe(reader, up_writer)), asyncio.create_task(_pipe(up_reader, writer))}
            _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in left:
                way.cancel()
            await asyncio.wait(ways)
        finally:
            up_writer.close()

    async def _target(self) -> Target:
        """Return the next ready Envoy, in turn."""
        while True:
            ready = [each for each in self.targets if each.is_ready and (not self.chosen or each.name in self.chosen)]
            if ready:
                return ready[next(self._turns) % len(ready)]
            await asyncio.sleep(_PROBE_SECONDS)


async def _follow(target: Target, client: aiohttp.ClientSession) -> None:
    """Keep the readiness of an Envoy."""
    while True:
        try:
            async with client.get(f"http://{target.metrics}/readyz") as response:
                target.is_ready = response.status == 200
        except (OSError, aiohttp.ClientError):
            target.is_ready = False
        await asyncio.sleep(_PROBE_SECONDS)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()


@contextmanager
def balancing(targets: Sequence[Target], authority: Path) -> Iterator[Balancer]:
    """Run a load balancer in a thread. `authority`: file with the authority of the Envoys' certificates."""
    balancer = Balancer(targets, {protocol: _context(authority, protocol) for protocol in ("h2", "http/1.1")})
    started, loop, stopped = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(balancer.serve(started, stopped),))
    thread.start()
    assert started.wait(10), "the load balancer does not start"
    try:
        yield balancer
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        loop.close()


def _context(authority: Path, protocol: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority)
    context.set_alpn_protocols([protocol])
    return context
