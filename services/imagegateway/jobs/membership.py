"""Who is alive: every router replica renews its entry in a bucket whose entries end by themselves.

An owner is written `<replica>/<life>`. The replica's name is random, kept in its data directory, and claimed: where
another process lives under the same name (a copied data directory), the later one takes a new name. A replica that
has come back with another life is surely gone; one that does not renew is believed gone only after a lease that
outlasts an election of the NATS cluster.
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
    from collections.abc import Callable
    from pathlib import Path

    from imagegateway.platform.settings import Settings
    from imagegateway.platform.supervision import Supervisor
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js.kv import KeyValue

BUCKET: Final = "routers"
LEASE_SECONDS: Final = 60.0
_BEAT_SECONDS: Final = 5.0
_ASK_SECONDS: Final = 2.0
_SILENT_BEATS: Final = 3
"""Beats without a renewal after which a name whose holder does not answer may be claimed."""
_LEFT: Final = "gone"
_MAX_LIFE: Final = 64
_log = logs.get(__name__)


class IdentityTakenError(Exception):
    """Another process has claimed this replica's name while this one could not renew it."""


class Membership:
    """This replica's own entry, and its view of the others'."""

    def __init__(self, client: Client, kv: KeyValue, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """`path`: the file that keeps this replica's name."""
        self._client = client
        self._kv = kv
        self._path = path
        self._clock = clock
        self._mirror = Mirror(client.jetstream(), BUCKET)
        self._revision = 0
        self._heard: dict[str, float] = {}
        """When each replica last wrote its entry, in observed seconds."""
        self._observed = 0.0
        """Seconds in which replicas could renew: while NATS can't be reached, nobody's silence means anything."""
        self._looked: float | None = None
        """When NATS last answered, if it did so at the last beat."""
        self.name = ""
        self.life = secrets.token_hex(6)

    @classmethod
    async def open(cls, client: Client, settings: Settings, replica: int) -> Membership:
        """Claim a name. Raises nats.errors.Error when JetStream can't be reached, OSError for the name's file."""
        kv = await bucket(client.jetstream(), BUCKET, settings.nats_replicas, ttl=LEASE_SECONDS)
        replicas = cls(client, kv, settings.data_dir / f"replica-{replica}")
        await replicas._claim()
        return replicas

    @property
    def me(self) -> str:
        """This replica as an owner."""
        return f"{self.name}/{self.life}"

    async def start(self, supervisor: Supervisor, changed: Callable[[], None]) -> None:
        """Renew the entry and look around every few seconds; `changed` is called after each look."""
        await self._look()
        supervisor.spawn("replica's lease", self._run(changed))

    async def close(self) -> None:
        """Leave the list, so that others take over at once."""
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._kv.update(self.name, _LEFT.encode(), last=self._revision)

    def gone(self, owner: str) -> bool:
        """Whether an owner will surely, or after its whole lease most likely, not write any more."""
        name, _, life = owner.partition("/")
        if name == self.name:
            return life != self.life
        current = _life(self._mirror.values.get(name, b""))
        if current and current != life:
            return True
        return self._observed - self._heard.get(name, 0.0) > LEASE_SECONDS

    async def _claim(self) -> None:
        """Enter the list under this replica's own name, or under a new one where another process lives under that."""
        await self._client.subscribe(_subject(self.life), cb=_answer)
        self.name = await asyncio.to_thread(load_identity, self._path)
        while True:
            holder, revision = await self._entry()
            if holder and holder not in {_LEFT, self.life} and await self._lives(holder, revision):
                _log.warning("replica_name_in_use", name=self.name)
                self.name = await asyncio.to_thread(renew_identity, self._path)
                continue
            try:
                self._revision = await self._kv.update(self.name, self.life.encode(), last=revision)
            except KeyWrongLastSequenceError:
                continue
            return

    async def _lives(self, life: str, revision: int) -> bool:
        """Whether the process that has claimed this replica's name is there."""
        try:
            await self._client.request(_subject(life), timeout=_ASK_SECONDS)
        except nats.errors.NoRespondersError:
            return False  # its connection is closed
        except nats.errors.TimeoutError:
            # Its host may have vanished with the connection open, or is too busy to answer: does it renew?
            await asyncio.sleep(_SILENT_BEATS * _BEAT_SECONDS)
            return await self._entry() != (life, revision)
        return True

    async def _run(self, changed: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            try:
                await self._renew()
                await self._look()
            except (nats.errors.Error, OSError) as error:
                self._looked = None
                _log.debug("presence_not_renewed", error=type(error).__name__)
                continue
            changed()

    async def _renew(self) -> None:
        """Raises IdentityTakenError, and nats.errors.Error or OSError when NATS can't be reached."""
        try:
            self._revision = await self._kv.update(self.name, self.life.encode(), last=self._revision)
        except KeyWrongLastSequenceError:
            # The entry has ended by itself, an answer was lost, or somebody else is there.
            holder, revision = await self._entry()
            if holder and holder != self.life:
                raise IdentityTakenError(self.name) from None
            self._revision = await self._kv.update(self.name, self.life.encode(), last=revision)

    async def _entry(self) -> tuple[str, int]:
        """The life that this replica's name is claimed for, and the entry's revision; of none, empty and 0."""
        try:
            entry = await self._kv.get(self.name)
        except KeyNotFoundError as error:
            return "", (error.entry.revision or 0) if error.entry else 0
        return _life(entry.value or b""), entry.revision or 0

    async def _look(self) -> None:
        changes = await self._mirror.update()
        now = self._clock()
        if self._looked is not None:
            self._observed += now - self._looked
        self._looked = now
        for change in changes:
            self._heard[change.key] = self._observed
        for name, heard in list(self._heard.items()):
            if self._observed - heard > 2 * LEASE_SECONDS:  # it makes no difference any more
                del self._heard[name]
                self._mirror.values.pop(name, None)


def _subject(life: str) -> str:
    """Where a replica answers for as long as its life lasts."""
    return f"imagegateway.replicas.{life}"


async def _answer(message: Msg) -> None:
    with contextlib.suppress(nats.errors.Error, OSError):
        await message.respond(b"")


def _life(value: bytes) -> str:
    """The life in an entry; empty for what no replica wrote."""
    text = value.decode("ascii", "replace")
    return text if text.isalnum() and text.isascii() and len(text) <= _MAX_LIFE else ""
