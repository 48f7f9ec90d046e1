"""Last use of keys, to the minute: noted in memory by each call, and written to a JetStream bucket now and then."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from imagegateway.platform import logs
from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.kv_mirror import snapshot
from imagegateway.platform.nats import bucket, repeated_reads
from imagegateway.platform.shared_documents import SharedDocuments

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.platform.supervision import Supervisor
    from nats.aio.client import Client
    from nats.js import JetStreamContext
    from nats.js.kv import KeyValue

BUCKET: Final = "key_use"
_MINUTE: Final = 60
_WRITE_SECONDS: Final = 10.0
_log = logs.get(__name__)


class LastUse:
    """Times of last use by key id. `clock` returns Unix seconds."""

    def __init__(
        self,
        js: JetStreamContext,
        kv: KeyValue,
        clock: Callable[[], float] = time.time,
        outage: asyncio.Event | None = None,
    ) -> None:
        """`outage` as in SharedDocuments."""
        self._js = js
        self._documents: SharedDocuments[int] = SharedDocuments(
            kv, empty=0, encode=_encode, decode=_decode, outage=outage
        )
        self._outage = outage
        self._clock = clock
        self._noted: dict[str, int] = {}

    @classmethod
    async def open(cls, client: Client, replicas: int, outage: asyncio.Event | None = None) -> LastUse:
        """Open the bucket. Raises nats.errors.Error without a connection to JetStream."""
        kv = await bucket(client.jetstream(), BUCKET, replicas)
        return cls(repeated_reads(client), kv, outage=outage)

    def start(self, supervisor: Supervisor) -> None:
        """Write noted times in the background."""
        supervisor.spawn("last use of keys", self._write_forever())

    def note(self, key_id: str) -> None:
        """Note a use of a key now."""
        self._noted[key_id] = int(self._clock()) // _MINUTE * _MINUTE

    async def write(self) -> None:
        """Write the times that have changed by a minute. Raises UnavailableError."""
        for key_id, at in list(self._noted.items()):
            if (self._documents.last_known(key_id) or 0) < at:
                await self._documents.change(key_id, partial(_raise_to, at))
            elif at < self._clock() - 2 * _MINUTE:  # an idle key
                del self._noted[key_id]
                self._documents.forget(key_id)

    async def all(self) -> dict[str, int]:
        """Return the times of last use in Unix seconds, by key id. Raises UnavailableError."""
        found: dict[str, int] = {}
        for key_id, value in (await snapshot(self._js, BUCKET, self._outage)).items():
            try:
                found[key_id] = _decode(value)
            except ValueError:
                _log.error("last_use_unreadable", key_id=key_id)
        return found

    async def _write_forever(self) -> None:
        while True:
            await asyncio.sleep(_WRITE_SECONDS)
            try:
                await self.write()
            except UnavailableError:
                _log.warning("last_use_not_written")


def _raise_to(at: int, known: int) -> tuple[int, None]:
    return max(known, at), None


def _encode(at: int) -> bytes:
    return str(at).encode()


def _decode(value: bytes) -> int:
    return int(value)
