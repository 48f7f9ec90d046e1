"""Replicas of a provider server, and the channels to them.

Each provider call lives in the replica that began it. A job's id orders the replicas (rendezvous hashing), so every
router asks the same replica first: without a record of the place, a takeover finds the call at once. While a replica
can't be reached, the next one in the order begins calls; a router that does not find a call at the first replica asks
the others.
"""

from __future__ import annotations

import asyncio
import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import grpc
from imagegateway.platform import logs
from imagegateway.platform.addresses import resolve
from imagegateway.platform.channels import open_channel
from imagegateway.platform.internal_tls import PeerRoleError, Role
from imagegateway.provider.v1 import provider_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from imagegateway.platform.addresses import Address
    from imagegateway.platform.internal_tls import InternalTls

    Resolve = Callable[[Address], Awaitable[list[Address]]]

_RESOLVE_SECONDS: Final = 5.0
"""Age at which a DNS name is resolved again, in seconds."""
_PATIENCE_SECONDS: Final = 1.0
"""Time for a replica's connection before the next one is tried, in seconds."""
_SUSPENDED_SECONDS: Final = 5.0
"""Time for which a replica without connection is the last choice, in seconds."""
_RETRY_SECONDS: Final = 0.1
_log = logs.get(__name__)


class Connection:
    """Channel to a replica, with the certificate of one time. It closes after its last call once it is replaced.

    Each call is a context, which keeps the channel open.
    """

    def __init__(self, channel: grpc.aio.Channel, material: object) -> None:
        self.channel = channel
        self.stub = pb_grpc.ProviderServiceStub(channel)
        self.material = material
        self._calls = 0
        self._replaced = False
        self._closing: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """True if the channel is connected."""
        return self.channel.get_state() is grpc.ChannelConnectivity.READY

    def __enter__(self) -> pb_grpc.ProviderServiceAsyncStub:
        self._calls += 1
        return self.stub

    def __exit__(self, *_: object) -> None:
        self._calls -= 1
        self._close_if_unused()

    def replace(self) -> None:
        """Close the channel after its last call."""
        self._replaced = True
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._replaced and not self._calls and self._closing is None:
            self._closing = asyncio.create_task(self.channel.close())


class Replica:
    """One process of provider servers."""

    def __init__(self, address: Address, tls: InternalTls | None) -> None:
        self.address = address
        self._tls = tls
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()
        self.suspended_until = 0.0
        """Loop time before which this replica is the last choice."""

    async def connected(self, seconds: float) -> Connection | None:
        """Return the connection, which may take at most `seconds`; None without one."""
        if (connection := self._connection) and self._is_current(connection) and connection.is_ready:
            self.suspended_until = 0.0
            return connection
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if connection := await self._connect():
                        self.suspended_until = 0.0
                        return connection
                    await asyncio.sleep(_RETRY_SECONDS)
        except TimeoutError:
            self.suspend()
            return None

    def suspend(self) -> None:
        """Make this replica the last choice for a while, with a new connection: it stops, or can't be reached."""
        self.suspended_until = asyncio.get_running_loop().time() + _SUSPENDED_SECONDS
        self.close()

    def close(self) -> None:
        """Close the channel after its last call."""
        if self._connection:
            self._connection.replace()
            self._connection = None

    async def aclose(self) -> None:
        """Close the channel, and end its calls."""
        if self._connection:
            await self._connection.channel.close()

    @property
    def _material(self) -> object:
        """Return the certificate of new connections; None without TLS."""
        return self._tls.material if self._tls else None

    def _is_current(self, connection: Connection) -> bool:
        return connection.material is self._material

    async def _connect(self) -> Connection | None:
        """Return a ready connection with the current certificate; None if the server can't be reached now."""
        if self._connection is None or not self._is_current(self._connection):
            async with self._opening:
                if self._connection is None or not self._is_current(self._connection):
                    material = self._material
                    try:
                        channel = await open_channel(self.address, self._tls, Role.PROVIDERS)
                    except (OSError, PeerRoleError) as error:
                        _log.debug("provider_server_unreachable", address=str(self.address), error=str(error))
                        return None
                    self.close()
                    self._connection = Connection(channel, material)
        connection = self._connection
        with connection:  # else another call's failure may close the channel meanwhile
            await connection.channel.channel_ready()
        return connection if connection is self._connection else None


class ReplicaSet:
    """The replicas behind addresses. `clock` returns monotonic seconds."""

    def __init__(
        self,
        addresses: Sequence[Address],
        tls: InternalTls | None,
        resolve: Resolve = resolve,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._addresses = addresses
        self._tls = tls
        self._resolve = resolve
        self._clock = clock
        self._replicas: dict[Address, Replica] = {}
        self._resolved_at: float | None = None
        self._resolving: asyncio.Task[None] | None = None

    async def ordered(self, job_id: str) -> list[Replica]:
        """Return the replicas in a job's order."""
        if self._resolved_at is None or self._clock() - self._resolved_at >= _RESOLVE_SECONDS:
            if self._resolving is None or self._resolving.done():
                self._resolving = asyncio.create_task(self._update())
            if not self._replicas:
                await asyncio.shield(self._resolving)
        if len(self._replicas) < 2:
            return list(self._replicas.values())
        return sorted(self._replicas.values(), key=lambda replica: _weight(replica, job_id))

    async def connected(
        self, job_id: str, seconds: float, without: Collection[Replica] = ()
    ) -> tuple[Replica, Connection] | None:
        """Return the first replica in a job's order that can be reached, and its connection.

        Replicas may take at most `seconds`. None: none can be reached in time, or none is left.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            left = [replica for replica in await self.ordered(job_id) if replica not in without]
            if not left and self._replicas:
                return None
            left.sort(key=lambda replica: replica.suspended_until > loop.time())
            for replica in left:
                rest = deadline - loop.time()
                if found := await replica.connected(rest if len(left) == 1 else min(rest, _PATIENCE_SECONDS)):
                    return replica, found
            if loop.time() >= deadline:
                return None
            await asyncio.sleep(_RETRY_SECONDS)

    async def aclose(self) -> None:
        """Close all channels."""
        if self._resolving:
            self._resolving.cancel()
        await asyncio.gather(*(replica.aclose() for replica in self._replicas.values()))

    async def _update(self) -> None:
        """Resolve the addresses. A failure changes nothing."""
        try:
            found = [each for address in self._addresses for each in await self._resolve(address)]
        except OSError as error:
            names = ", ".join(map(str, self._addresses))
            _log.warning("provider_servers_unresolved", addresses=names, error=str(error))
            found = list(self._replicas)
        self._resolved_at = self._clock()
        for gone in self._replicas.keys() - set(found):
            self._replicas.pop(gone).close()
        for address in found:
            if address not in self._replicas:
                self._replicas[address] = Replica(address, self._tls)


def _weight(replica: Replica, job_id: str) -> bytes:
    return blake2b(f"{replica.address}\n{job_id}".encode(), digest_size=8).digest()
