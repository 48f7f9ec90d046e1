"""This process's view of a small bucket: all of it in memory, two seconds old at most.

Read message by message from the stream behind the bucket, each only once. A watcher would leave a consumer behind for
each look, of which a server allows so many, and may say that it has given all before it has given anything.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import nats.errors
from imagegateway.platform import logs
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
    """A key's new value; None: it was deleted."""

    key: str
    value: bytes | None


class Mirror:
    """A copy of a bucket, brought up to date by `update`. Values that the bucket's TTL ends stay in the copy."""

    def __init__(self, js: JetStreamContext, bucket: str) -> None:
        self._js = js
        self._bucket = bucket
        self._seen = 0
        self.values: dict[str, bytes] = {}
        """All values by key."""

    async def update(self) -> list[Change]:
        """Read what is new, and return it in order. Raises nats.errors.Error or OSError."""
        last = (await self._js.stream_info(f"KV_{self._bucket}")).state.last_seq
        if last == self._seen:
            return []
        changes: list[Change] = []
        seen = self._seen
        if last < seen:  # it is another stream, restored or made anew
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
        """Append what came after a sequence; return the sequence that is seen then.

        Read to the very end: a key that is replaced meanwhile leaves its place for a later one.
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
    """Follows a bucket: `on_change` gets all its values by key, at first and after each change.

    `read` makes a value of a key and its bytes; where it raises ValueError, the key is left out, and logged. While
    NATS can't be reached the last view serves on.
    """

    def __init__(
        self,
        js: JetStreamContext,
        bucket: str,
        read: Callable[[str, bytes], _T],
        on_change: Callable[[Mapping[str, _T]], None],
    ) -> None:
        self._bucket = bucket
        self._mirror = Mirror(js, bucket)
        self._decoder = Decoder(bucket)
        self._read = read
        self._on_change = on_change
        self._values: dict[str, _T] = {}
        self._looking = asyncio.Lock()

    async def start(self, supervisor: Supervisor) -> None:
        """Read all, then follow changes. Raises nats.errors.Error or OSError."""
        await self._look()
        supervisor.spawn(f"bucket {self._bucket}", self._follow())

    async def refresh(self) -> None:
        """Look at once whether anything has changed."""
        try:
            await self._look()
        except (nats.errors.Error, OSError) as error:
            _log.warning("bucket_not_refreshed", bucket=self._bucket, error=type(error).__name__)

    async def _follow(self) -> None:
        # The bucket's last sequence is one cheap question every two seconds; unlike a subscription it can't
        # go silent across a restart of the server.
        while True:
            await asyncio.sleep(RESYNC_SECONDS)
            await self.refresh()

    async def _look(self) -> None:
        # One look at a time: an earlier one that ends later would bring an older view back.
        async with self._looking:
            changes = await self._mirror.update()
            if not changes:
                return
            for change in changes:
                self._values.pop(change.key, None)
                if change.value is None:
                    continue
                value = self._decoder.decode(change.key, change.value, self._read)
                if value is not None:
                    self._values[change.key] = value
            self._on_change(dict(self._values))
            _log.info("bucket_loaded", bucket=self._bucket, count=len(self._values))


async def snapshot(js: JetStreamContext, bucket: str) -> dict[str, bytes]:
    """All values of a bucket by key. Raises nats.errors.Error or OSError."""
    mirror = Mirror(js, bucket)
    await mirror.update()
    return mirror.values
