"""This process's view of a small bucket: all of it in memory, two seconds old at most.

Read message by message from the stream behind the bucket, each only once. A watcher would leave a consumer behind for
each look, of which a server allows so many, and may say that it has given all before it has given anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import nats.errors
from nats.js.errors import NotFoundError

from services.common import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nats.js import JetStreamContext

RESYNC_SECONDS: Final = 2.0
_log = logs.get(__name__)


class Follower:
    """Follows a bucket: `took` gets all its values by key, at first and after each change.

    While NATS can't be reached the last view serves on.
    """

    def __init__(self, js: JetStreamContext, bucket: str, took: Callable[[Mapping[str, bytes]], None]) -> None:
        self._js = js
        self._bucket = bucket
        self._took = took
        self._values: dict[str, bytes] = {}
        self._seen = 0
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
            last = (await self._js.stream_info(f"KV_{self._bucket}")).state.last_seq
            if last == self._seen:
                return
            # Less than was seen: it is another stream, restored or made anew.
            values, seen = (dict(self._values), self._seen) if last > self._seen else ({}, 0)
            self._seen = await _read(self._js, self._bucket, values, seen)
            self._values = values
            self._took(values)
            _log.info("bucket_loaded", bucket=self._bucket, count=len(values))


async def snapshot(js: JetStreamContext, bucket: str) -> dict[str, bytes]:
    """All values of a bucket by key. Raises nats.errors.Error or OSError."""
    values: dict[str, bytes] = {}
    await _read(js, bucket, values, 0)
    return values


async def _read(js: JetStreamContext, bucket: str, values: dict[str, bytes], seen: int) -> int:
    """Bring values up to date by what came after the sequence `seen`; gives the sequence that is seen then.

    Read to the very end: a key that is replaced meanwhile leaves its place for a later one.
    """
    prefix = f"$KV.{bucket}."
    while True:
        try:
            message = await js.get_msg(f"KV_{bucket}", seq=seen + 1, subject=f"{prefix}>", next=True)
        except NotFoundError:
            return seen
        key = (message.subject or "").removeprefix(prefix)
        if message.headers and "KV-Operation" in message.headers:  # deleted or purged
            values.pop(key, None)
        else:
            values[key] = message.data or b""
        seen = message.seq or 0
