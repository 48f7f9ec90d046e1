"""Spooled content: bytes of a response in memory, beyond a bound in a file."""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
from typing import TYPE_CHECKING, BinaryIO, Final, cast

if TYPE_CHECKING:
    from pathlib import Path

SMALL_BYTES: Final = 1024 * 1024
"""Largest content that stays in memory and is not counted."""
_LARGEST: Final = 4 * SMALL_BYTES
"""Largest content that stays in memory."""


class SpoolMemory:
    """Memory of the contents over `SMALL_BYTES` that are in no file: at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._free = limit

    def reserve(self, size: int) -> bool:
        """Reserve bytes. Return False if too few are free."""
        if size > self._free:
            return False
        self._free -= size
        return True

    def release(self, size: int) -> None:
        """Release reserved bytes."""
        self._free += size


class SpooledContent:
    """Bytes in memory up to `SMALL_BYTES`, and up to 4 MiB while `memory` lasts, beyond that in a nameless file."""

    def __init__(self, folder: Path, memory: SpoolMemory) -> None:
        self.size = 0
        self._folder = folder
        self._memory = memory
        self._reserved = 0
        self._file: BinaryIO | None = None
        self._filed = 0
        self._tail = io.BytesIO()
        """Bytes after those in the file; all of them where the disk is full."""
        self._full = False

    async def write(self, data: bytes) -> None:
        """Append bytes. A full disk leaves the rest in memory."""
        self.size += len(data)
        self._tail.write(data)
        if self._tail.tell() > SMALL_BYTES and not self._full and not self._reserve():
            await asyncio.to_thread(self._flush)

    async def read(self) -> bytes:
        """Return all bytes, and discard them here."""
        try:
            if self._file is None:
                return self._tail.getvalue()
            return await asyncio.to_thread(self._joined, self._file)
        finally:
            self.close()

    def close(self) -> None:
        """Discard all bytes. Idempotent."""
        self._tail = io.BytesIO()
        self._release()
        if self._file:
            self._file.close()

    def _reserve(self) -> bool:
        """Reserve memory for the tail. Without room, release all of it and return False."""
        size = self._tail.tell()
        if self._file is None and size <= _LARGEST and self._memory.reserve(size - self._reserved):
            self._reserved = size
            return True
        self._release()
        return False

    def _release(self) -> None:
        self._memory.release(self._reserved)
        self._reserved = 0

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

    def _joined(self, file: BinaryIO) -> bytes:
        whole = io.BytesIO()
        for start in range(0, self._filed, SMALL_BYTES):
            whole.write(os.pread(file.fileno(), min(SMALL_BYTES, self._filed - start), start))
        whole.write(self._tail.getvalue())
        return whole.getvalue()
