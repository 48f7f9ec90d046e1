"""Spooled content: the bytes of a response in memory, a large one in a file."""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
from typing import TYPE_CHECKING, BinaryIO, Final, cast

if TYPE_CHECKING:
    from pathlib import Path

SMALL_BYTES: Final = 1024 * 1024
"""Largest response that stays in memory and is not counted."""


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
