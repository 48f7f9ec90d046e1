"""Membership of router replicas: each renews an entry in a bucket whose entries expire.

Jobs name their owner as `<name>/<incarnation>`. A replica's name is random, kept in its data directory and claimed:
when another live process holds the name (a copied data directory), the later process takes a new one. An owner has
expired when its replica runs with another incarnation, or when it sent no heartbeat for a whole lease, which outlasts
a leader election of the NATS cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING, Final

import nats.errors
from imagegateway.platform import logs
from imagegateway.platform.identity import load_identity, renew_identity
from imagegateway.platform.kv_mirror import Mirror
from imagegateway.platform.nats import bucket
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from imagegateway.platform.settings import Settings
    from imagegateway.platform.supervision import Supervisor
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js.kv import KeyValue

BUCKET: Final = "routers"
LEASE_SECONDS: Final = 60.0
"""Time without a heartbeat after which an owner has expired."""
HEARTBEAT_SECONDS: Final = 5.0
PROBE_SECONDS: Final = 2.0
_MISSED_HEARTBEATS: Final = 3
"""Missed heartbeats after which the name of a holder that does not answer may be claimed."""
_STOPPED: Final = "gone"
"""Value of a stopped replica's entry."""
_MAX_INCARNATION: Final = 64
_log = logs.get(__name__)


class IdentityTakenError(Exception):
    """Another process has claimed this replica's name while this one could not renew it."""


class Membership:
    """This replica's own entry, and its view of the others."""

    def __init__(
        self,
        client: Client,
        kv: KeyValue,
        path: Path,
        clock: Callable[[], float] = time.monotonic,
        replicas: int = 1,
    ) -> None:
        """`path`: file with this replica's name. `clock` returns monotonic seconds.

        `replicas`: number of the bucket's copies on NATS servers.
        """
        self._client = client
        self._kv = kv
        self._replicas = replicas
        self._path = path
        self._clock = clock
        self._mirror = Mirror(client.jetstream(), BUCKET)
        self._revision = 0
        self._heartbeats: dict[str, float] = {}
        """Time of each replica's last heartbeat, in observed seconds."""
        self._observed = 0.0
        """Seconds in which replicas could renew: silence while NATS is unreachable does not count."""
        self._refreshed_at: float | None = None
        """Time of the last refresh, if it succeeded."""
        self.name = ""
        self.incarnation = secrets.token_hex(6)

    @classmethod
    async def open(cls, client: Client, settings: Settings, replica: int) -> Membership:
        """Claim a name. Raises nats.errors.Error when JetStream can't be reached, OSError for the name's file."""
        replicas = settings.nats_replicas
        kv = await _bucket(client, replicas)
        membership = cls(client, kv, settings.data_dir / f"replica-{replica}", replicas=replicas)
        await membership._claim()
        return membership

    @property
    def owner(self) -> str:
        """This replica's id as an owner of jobs."""
        return f"{self.name}/{self.incarnation}"

    async def start(self, supervisor: Supervisor, on_refresh: Callable[[], Awaitable[None]]) -> None:
        """Send heartbeats and refresh the view every 5 s. `on_refresh` is called after each refresh."""
        await self.refresh()
        supervisor.spawn("membership", self._run(on_refresh))

    async def close(self) -> None:
        """Leave, so that other replicas take over at once."""
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._kv.update(self.name, _STOPPED.encode(), last=self._revision)

    def is_expired(self, owner: str) -> bool:
        """Return whether an owner will write no more: certainly, or most likely after its lease."""
        name, _, incarnation = owner.partition("/")
        if name == self.name:
            return incarnation != self.incarnation
        current = _incarnation(self._mirror.values.get(name, b""))
        if current and current != incarnation:
            return True
        return self._observed - self._heartbeats.get(name, 0.0) > LEASE_SECONDS

    async def _claim(self) -> None:
        """Claim this replica's own name, or a new one where another live process holds that."""
        await self._client.subscribe(_subject(self.incarnation), cb=_answer)
        self.name = await asyncio.to_thread(load_identity, self._path)
        while True:
            holder, revision = await self._entry()
            if holder and holder not in {_STOPPED, self.incarnation} and await self._is_alive(holder, revision):
                _log.warning("replica_name_in_use", name=self.name)
                self.name = await asyncio.to_thread(renew_identity, self._path)
                continue
            try:
                self._revision = await self._kv.update(self.name, self.incarnation.encode(), last=revision)
            except KeyWrongLastSequenceError:
                continue
            return

    async def _is_alive(self, incarnation: str, revision: int) -> bool:
        """Return whether the process that holds this replica's name is alive."""
        try:
            await self._client.request(_subject(incarnation), timeout=PROBE_SECONDS)
        except nats.errors.NoRespondersError:
            return False  # its connection is closed
        except nats.errors.TimeoutError:
            # Its host may have failed with the connection open, or be too busy to answer: heartbeats decide.
            await asyncio.sleep(_MISSED_HEARTBEATS * HEARTBEAT_SECONDS)
            return await self._entry() != (incarnation, revision)
        return True

    async def _run(self, on_refresh: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                await self.heartbeat()
                await self.refresh()
            except (nats.errors.Error, OSError) as error:
                self.suspend()
                _log.debug("heartbeat_failed", error=type(error).__name__)
                with contextlib.suppress(nats.errors.Error, OSError):
                    await _bucket(self._client, self._replicas)  # an operator may have deleted the bucket
                continue
            await on_refresh()

    async def heartbeat(self) -> None:
        """Renew this replica's entry. Raises IdentityTakenError, and nats.errors.Error or OSError for NATS."""
        try:
            self._revision = await self._kv.update(self.name, self.incarnation.encode(), last=self._revision)
        except KeyWrongLastSequenceError:
            # The entry has expired, an acknowledgement was lost, or another process holds the name.
            holder, revision = await self._entry()
            if holder and holder != self.incarnation:
                raise IdentityTakenError(self.name) from None
            self._revision = await self._kv.update(self.name, self.incarnation.encode(), last=revision)

    async def _entry(self) -> tuple[str, int]:
        """Return the incarnation that holds this replica's name and the entry's revision; without one, "" and 0."""
        try:
            entry = await self._kv.get(self.name)
        except KeyNotFoundError as error:
            return "", (error.entry.revision or 0) if error.entry else 0
        return _incarnation(entry.value or b""), entry.revision or 0

    async def refresh(self) -> None:
        """Update the view of the other replicas. Raises nats.errors.Error or OSError."""
        changes = await self._mirror.update()
        now = self._clock()
        if self._refreshed_at is not None:
            self._observed += now - self._refreshed_at
        self._refreshed_at = now
        for change in changes:
            self._heartbeats[change.key] = self._observed
        for name, heard in list(self._heartbeats.items()):
            if self._observed - heard > 2 * LEASE_SECONDS:  # expired with or without the entry
                del self._heartbeats[name]
                self._mirror.values.pop(name, None)

    def suspend(self) -> None:
        """Stop the clock of all leases until the next refresh, because NATS is unreachable."""
        self._refreshed_at = None

    @property
    def known(self) -> set[str]:
        """Names of all replicas in the view."""
        return set(self._mirror.values)


async def _bucket(client: Client, replicas: int) -> KeyValue:
    """Open the bucket, and create it if absent. Raises nats.errors.Error."""
    return await bucket(client.jetstream(), BUCKET, replicas, ttl=LEASE_SECONDS)


def _subject(incarnation: str) -> str:
    """Return the subject on which a replica answers while its process lives."""
    return f"imagegateway.replicas.{incarnation}"


async def _answer(message: Msg) -> None:
    with contextlib.suppress(nats.errors.Error, OSError):
        await message.respond(b"")


def _incarnation(value: bytes) -> str:
    """Return the incarnation in an entry; empty for a value that no replica wrote."""
    text = value.decode("ascii", "replace")
    return text if text.isalnum() and text.isascii() and len(text) <= _MAX_INCARNATION else ""
