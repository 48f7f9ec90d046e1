"""The memory of providers' answers: large ones lie in files until there is room for them.

An answer is received at once, as its connection would break if nobody read. Then it waits without limit, as it may be
paid for.
"""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from imagegateway.platform.tenant_slots import TenantSlots
from imagegateway.providers.kit.adapter import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from imagegateway.outbound.client import Incoming

SMALL_BYTES: Final = 1024 * 1024
"""Answers up to this size stay in memory and are not counted."""
_COPIES: Final = 3
"""An answer's bytes, the texts in it, and the images that these are the base64 of."""


class Spool:
    """The bytes of an answer: in memory up to `SMALL_BYTES`, beyond that in a file without a name."""

    def __init__(self, folder: Path) -> None:
        self.size = 0
        self._folder = folder
        self._file: BinaryIO | None = None
        self._filed = 0
        self._tail = io.BytesIO()
        """The bytes behind those in the file; all of them where the disk takes none."""
        self._full = False

    async def write(self, piece: bytes) -> None:
        """Append. A disk that takes no more leaves the rest in memory."""
        self.size += len(piece)
        self._tail.write(piece)
        if self._tail.tell() > SMALL_BYTES and not self._full:
            await asyncio.to_thread(self._flush)

    async def read(self) -> bytes:
        """Return all bytes, and close the file."""
        try:
            return await asyncio.to_thread(self._joined)
        finally:
            self.close()

    def close(self) -> None:
        """Give up the file. Harmless to repeat."""
        if self._file:
            self._file.close()

    def _flush(self) -> None:
        """Move the tail to the file, as much of it as the disk takes."""
        data = self._tail.getvalue()
        done = 0
        try:
            if self._file is None:
                file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115  `close` closes it
                self._file = cast("BinaryIO", file)
            while done < len(data):
                done += self._file.write(memoryview(data)[done:])
        except OSError:
            self._full = True
        self._filed += done
        self._tail = io.BytesIO()
        self._tail.write(data[done:])

    def _joined(self) -> bytes:
        if self._file is None:
            return self._tail.getvalue()
        whole = io.BytesIO()
        for start in range(0, self._filed, SMALL_BYTES):
            whole.write(os.pread(self._file.fileno(), min(SMALL_BYTES, self._filed - start), start))
        whole.write(self._tail.getvalue())
        return whole.getvalue()


class ReplyMemory:
    """Counts the bytes of large answers that are read and stored here. A tenant may have half of `limit` bytes."""

    def __init__(self, limit: int, folder: Path) -> None:
        """`folder`: on a disk, for answers that wait; made when absent."""
        self._bytes = TenantSlots(limit, limit // 2)
        self._folder = folder
        with suppress(OSError):  # answers then stay in memory
            folder.mkdir(parents=True, exist_ok=True)

    async def receive(self, incoming: Incoming) -> Reply:
        """Receive the whole answer. One that is large has its content in `spool`. Raises as `Incoming.chunks`."""
        spool = Spool(self._folder)
        try:
            async with aclosing(incoming.chunks()) as chunks:
                async for chunk in chunks:
                    await spool.write(chunk)
        except BaseException:
            spool.close()
            raise
        if spool.size > SMALL_BYTES:
            return Reply(incoming.status, incoming.headers, b"", spool)
        return Reply(incoming.status, incoming.headers, await spool.read())

    @asynccontextmanager
    async def load(self, reply: Reply, tenant: str) -> AsyncIterator[Reply]:
        """Wait for room for an answer, and hold the room while the context lasts, with the answer and its content."""
        if reply.spool is None:
            yield reply
            return
        try:
            async with self._bytes.hold(tenant, _COPIES * reply.spool.size):
                yield replace(reply, content=await reply.spool.read(), spool=None)
        finally:
            reply.spool.close()
