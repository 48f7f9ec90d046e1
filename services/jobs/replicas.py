"""Who is alive: every router replica renews its entry in a bucket whose entries end by themselves.

An owner is written `<replica>/<life>`. A replica that has come back with another life is surely gone; one whose
entry is missing is believed gone only after a lease that outlasts an election of the NATS cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import socket
import time
from typing import TYPE_CHECKING, Final

import nats.errors
from nats.js.errors import KeyNotFoundError

from services.common import logs
from services.common.nats import bucket
from services.jobs import tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.client import Client
    from nats.js.kv import KeyValue

    from services.common.settings import Settings

BUCKET: Final = "routers"
LEASE_SECONDS: Final = 60.0
_BEAT_SECONDS: Final = 5.0
_log = logs.get(__name__)


class Replicas:
    """This replica's own entry, and its view of the others'."""

    def __init__(self, kv: KeyValue, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._kv = kv
        self._clock = clock
        self.name = name
        self.life = secrets.token_hex(6)
        self._lives: dict[str, str] = {}
        self._seen: dict[str, float] = {}
        self._began = clock()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, client: Client, settings: Settings, replica: int) -> Replicas:
        """Raises nats.errors.Error when JetStream can't be reached."""
        kv = await bucket(client.jetstream(), BUCKET, settings.nats_replicas, ttl=LEASE_SECONDS)
        place = f"{socket.gethostname()}:{settings.data_dir}"
        return cls(kv, f"{hashlib.sha256(place.encode()).hexdigest()[:10]}-{replica}")

    @property
    def me(self) -> str:
        """This replica as an owner."""
        return f"{self.name}/{self.life}"

    async def start(self, changed: Callable[[], None]) -> None:
        """Enter the list, then renew and look around every few seconds; `changed` is called after each look."""
        await self._beat()
        self._task = asyncio.create_task(self._run(changed))

    async def close(self) -> None:
        """Leave the list, so that others take over at once."""
        if self._task:
            await tasks.end(self._task)
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._kv.put(self.name, b"gone")

    def gone(self, owner: str) -> bool:
        """Whether an owner will surely, or after its whole lease most likely, not write any more."""
        name, _, life = owner.partition("/")
        if name == self.name:
            return life != self.life
        if name in self._lives:
            return self._lives[name] != life
        return self._clock() - self._seen.get(name, self._began) > LEASE_SECONDS

    async def _run(self, changed: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            try:
                await self._beat()
            except (nats.errors.Error, OSError) as error:
                # Nobody can renew now: nobody's silence means anything.
                self._began = self._clock()
                self._seen.clear()
                _log.debug("presence_not_renewed", error=type(error).__name__)
                continue
            changed()

    async def _beat(self) -> None:
        await self._kv.put(self.name, self.life.encode())
        lives: dict[str, str] = {}
        for name in await self._names():
            with contextlib.suppress(KeyNotFoundError):
                lives[name] = ((await self._kv.get(name)).value or b"").decode()
                self._seen[name] = self._clock()
        self._lives = lives

    async def _names(self) -> list[str]:
        return await self._kv.keys()
