"""Response spool: large responses of providers wait in files until there is memory for them.

A response is received at once, as an unread connection breaks. Then the response waits without limit, as it may be
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
from imagegateway.providers.kit.adapter import HttpResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from imagegateway.outbound.client import StreamingResponse

SMALL_BYTES: Final = 1024 * 1024
"""Largest response that stays in memory and is not counted."""
_COPIES: Final = 3
"""Copies that reading makes of a response: its bytes, the texts in it, and the images that these encode."""


class SpooledContent:
    """Content of a response: in memory up to `SMALL_BYTES`, beyond that in a file without a name."""

    def __init__(self, folder: Path) -> None:
        self.size = 0
        self._folder = folder
        self._file: BinaryIO | None = None
        self._filed = 0
        self._tail = io.BytesIO()
        """Bytes after those in the file; all of them where the disk is full."""
        self._full = False

    async def write(self, data: bytes) -> None:
        """Append bytes. A full disk leaves the rest in memory."""
        self.size += len(data)
        self._tail.write(data)
        if self._tail.tell() > SMALL_BYTES and not self._full:
            await asyncio.to_thread(self._flush)

    async def read(self) -> bytes:
        """Return all bytes, and close the file."""
        try:
            return await asyncio.to_thread(self._joined)
        finally:
            self.close()

    def close(self) -> None:
        """Delete the file. Idempotent."""
        if self._file:
            self._file.close()

    def _flush(self) -> None:
        """Move the tail to the file, as much of it as the disk has room for."""
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


class ResponseSpool:
    """Spool of large responses, and the memory limit of those that are being read and stored.

    The limit is `limit` bytes, half of them for one tenant.
    """

    def __init__(self, limit: int, folder: Path) -> None:
        """`folder`: on a disk, for responses that wait; created if absent."""
        self._bytes = TenantSlots(limit, limit // 2)
        self._folder = folder
        with suppress(OSError):  # responses then stay in memory
            folder.mkdir(parents=True, exist_ok=True)

    async def receive(self, incoming: StreamingResponse) -> HttpResponse:
        """Return the whole response, a large one with content in `spooled`. Raises as `StreamingResponse.chunks`."""
        spooled = SpooledContent(self._folder)
        try:
            async with aclosing(incoming.chunks()) as chunks:
                async for chunk in chunks:
                    await spooled.write(chunk)
        except BaseException:
            spooled.close()
            raise
        if spooled.size > SMALL_BYTES:
            return HttpResponse(incoming.status, incoming.headers, b"", spooled)
        return HttpResponse(incoming.status, incoming.headers, await spooled.read())

    @asynccontextmanager
    async def load(self, response: HttpResponse, tenant: str) -> AsyncIterator[HttpResponse]:
        """Yield a response with its content, once there is memory for it; the memory is reserved within the block."""
        if response.spooled is None:
            yield response
            return
        try:
            async with self._bytes.hold(tenant, _COPIES * response.spooled.size):
                yield replace(response, content=await response.spooled.read(), spooled=None)
        finally:
            response.spooled.close()
