"""This process's view of a small bucket: all of it in memory, two seconds old at most."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import nats.errors

from services.common import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nats.js.kv import KeyValue

RESYNC_SECONDS: Final = 2.0
_SNAPSHOT_SECONDS: Final = 10.0
_log = logs.get(__name__)


class Follower:
    """Follows a bucket: `took` gets all its values by key, at first and after each change.

    While NATS can't be reached the last view serves on.
    """

    def __init__(self, kv: KeyValue, bucket: str, took: Callable[[Mapping[str, bytes]], None]) -> None:
        self._kv = kv
        self._bucket = bucket
        self._took = took
        self._seen = -1
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Read all, then follow changes. Raises nats.errors.Error or OSError."""
        await self._look()
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        if self._task:
            # In Python 3.11, `wait_for` (and so nats-py) swallows a cancellation that comes together with its result.
            self._closing = True
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def refresh(self) -> None:
        """Look at once whether anything has changed."""
        try:
            await self._look()
        except (nats.errors.Error, OSError) as error:
            _log.warning("bucket_not_refreshed", bucket=self._bucket, error=type(error).__name__)

    async def _follow(self) -> None:
        # The bucket's last sequence is one cheap question every two seconds; unlike a subscription it can't
        # go silent across a restart of the server.
        while not self._closing:
            await asyncio.sleep(RESYNC_SECONDS)
            await self.refresh()

    async def _look(self) -> None:
        # One look at a time: an earlier one that ends later would bring an older view back.
        async with self._looking:
            status = await self._kv.status()
            last = status.stream_info.state.last_seq
            if last == self._seen:
                return
            values, newest = await _read(self._kv)
            self._took(values)
            _log.info("bucket_loaded", bucket=self._bucket, count=len(values))
            # In a cluster, what is read may lag behind the leader that was asked: then the next look reads again.
            if newest >= last:
                self._seen = last


async def snapshot(kv: KeyValue) -> dict[str, bytes]:
    """All values of a bucket by key. Raises nats.errors.Error or OSError."""
    return (await _read(kv))[0]


async def _read(kv: KeyValue) -> tuple[dict[str, bytes], int]:
    """All values, and the newest revision among them and what was deleted."""
    found: dict[str, bytes] = {}
    newest = 0
    async with asyncio.timeout(_SNAPSHOT_SECONDS):
        watcher = await kv.watchall()
        try:
            async for entry in watcher:
                if entry is None:  # all of the present is read
                    break
                newest = max(newest, entry.revision or 0)
                if entry.operation is None:
                    found[entry.key] = entry.value or b""
        finally:
            await watcher.stop()  # type: ignore[no-untyped-call]  # nats-py leaves it untyped
    return found, newest
