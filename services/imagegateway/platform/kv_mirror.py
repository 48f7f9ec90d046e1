"""KV mirror: a copy of a small NATS key-value bucket in memory, at most two seconds old.

The mirror reads each message once from the stream behind the bucket. A KV watcher leaves one consumer on the server
per use, whose number is limited, and may report the end of the initial values before their start.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import nats.errors
from imagegateway.platform import logs, patience
from imagegateway.platform.stored_values import Decoder
from nats.js.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imagegateway.platform.supervision import Supervisor
    from nats.js import JetStreamContext

RESYNC_SECONDS: Final = 2.0
_T = TypeVar("_T")
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """New value of a key. None: the key is deleted."""

    key: str
    value: bytes | None


class Mirror:
    """Copy of a bucket as of the last `update`. Values that expire by the bucket's TTL remain in the copy."""

    def __init__(self, js: JetStreamContext, bucket: str) -> None:
        self._js = js
        self._bucket = bucket
        self._seen = 0
        self.values: dict[str, bytes] = {}
        """All values by key."""

    async def update(self) -> list[Change]:
        """Read new changes, and return them in order. Raises nats.errors.Error or OSError."""
        last = (await self._js.stream_info(f"KV_{self._bucket}")).state.last_seq
        if last == self._seen:
            return []
        changes: list[Change] = []
        seen = self._seen
        if last < seen:  # another stream, restored or recreated
            changes, seen = [Change(key, None) for key in self.values], 0
        seen = await self._read(seen, changes)
        for change in changes:
            if change.value is None:
                self.values.pop(change.key, None)
            else:
                self.values[change.key] = change.value
        self._seen = seen
        return changes

    async def _read(self, seen: int, changes: list[Change]) -> int:
        """Append the changes after the sequence `seen`, and return the last sequence.

        Read until no message is left: a key that is replaced during the read moves to a later sequence.
        """
        prefix = f"$KV.{self._bucket}."
        while True:
            try:
                message = await self._js.get_msg(f"KV_{self._bucket}", seq=seen + 1, subject=f"{prefix}>", next=True)
            except NotFoundError:
                return seen
            deleted = bool(message.headers and "KV-Operation" in message.headers)  # deleted or purged
            key = (message.subject or "").removeprefix(prefix)
            changes.append(Change(key, None if deleted else message.data or b""))
            seen = message.seq or 0


class Follower(Generic[_T]):
    """Follower of a bucket: calls `on_change` with all values by key, at the start and after each change.

    `decode` converts a key and its bytes to a value. Keys whose value raises ValueError are logged and left out.
    Without a connection to NATS, the last values remain in use.
    """

    def __init__(
        self,
        js: JetStreamContext,
        bucket: str,
        decode: Callable[[str, bytes], _T],
        on_change: Callable[[Mapping[str, _T]], None],
    ) -> None:
        self._bucket = bucket
        self._mirror = Mirror(js, bucket)
        self._decoder = Decoder(bucket)
        self._decode = decode
        self._on_change = on_change
        self._values: dict[str, _T] = {}
        self._updating = asyncio.Lock()

    async def start(self, supervisor: Supervisor) -> None:
        """Read all values, then follow changes. Raises nats.errors.Error or OSError."""
        await self._update()
        supervisor.spawn(f"bucket {self._bucket}", self._follow())

    async def refresh(self) -> None:
        """Read changes now."""
        try:
            await self._update()
        except (nats.errors.Error, OSError) as error:
            _log.warning("bucket_not_refreshed", bucket=self._bucket, error=type(error).__name__)

    async def _follow(self) -> None:
        # A request for the last sequence is cheap. A subscription can stop silently after a restart of the server.
        while True:
            await asyncio.sleep(RESYNC_SECONDS)
            await self.refresh()

    async def _update(self) -> None:
        # One update at a time: an earlier one that ends later would restore older values.
        async with self._updating:
            changes = await self._mirror.update()
            if not changes:
                return
            for change in changes:
                self._values.pop(change.key, None)
                if change.value is None:
                    continue
                value = self._decoder.decode(change.key, change.value, self._decode)
                if value is not None:
                    self._values[change.key] = value
            self._on_change(dict(self._values))
            _log.debug("bucket_loaded", bucket=self._bucket, count=len(self._values))


async def snapshot(js: JetStreamContext, bucket: str, outage: asyncio.Event | None = None) -> dict[str, bytes]:
    """Return all values of a bucket by key. Wait for an election, but not while `outage` is set.

    Raises UnavailableError.
    """

    async def attempt() -> dict[str, bytes]:
        mirror = Mirror(js, bucket)
        await mirror.update()
        return mirror.values

    return await patience.read(attempt, outage, "the job store does not answer")
