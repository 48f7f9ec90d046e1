"""Media store in a local directory: plain files, written durably.

A file is written under a temporary name beside its final name, flushed and renamed. Then the directory is flushed.
obstore renames as well but never flushes, and a flush after its write costs a second open.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from imagegateway.platform.disk import check_writable, flush_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO

    from imagegateway.media.backend import Bytes

_THREADS: Final = 8
_TEMPORARY: Final = ".tmp"

T = TypeVar("T")


def _make_directory(path: Path) -> None:
    """Create a directory and its parents durably."""
    if not path.is_dir():
        _make_directory(path.parent)
        path.mkdir(exist_ok=True)
        flush_directory(path.parent)


def _retrieve_exception(check: asyncio.Future[None]) -> None:
    """Retrieve the exception of a check without a waiter: asyncio logs exceptions that are never retrieved."""
    if not check.cancelled():
        check.exception()


class Directory:
    """Backend in a local directory."""

    def __init__(self, root: Path) -> None:
        """Create the directory if it is absent. Raises OSError."""
        _make_directory(root)
        self._root = root
        self._flushed: set[Path] = set()
        # Separate threads: a flush waits for the disk, and must not wait for image decoding as well.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="media-store")
        self._checks = ThreadPoolExecutor(1, thread_name_prefix="media-store-check")
        self._check: asyncio.Future[None] | None = None

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run blocking work in one of the store's threads."""
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    def path(self, key: str) -> Path:
        """Return the path of an object."""
        return self._root / key

    def prepare(self, folder: Path) -> None:
        """Create a day's folder durably. Blocks."""
        if folder not in self._flushed or not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            # The process that created the folder may have died before the flush: each process flushes it once.
            flush_directory(folder.parent)
            flush_directory(self._root)
            self._flushed.add(folder)

    def open_writer(self, key: str) -> FileWriter:
        return FileWriter(self, key)

    async def read(self, key: str, start: int, length: int) -> bytes:
        def work() -> bytes:
            with self.path(key).open("rb", buffering=0) as file:
                return os.pread(file.fileno(), length, start)

        return await self.run(work)

    async def read_all(self, key: str) -> bytes:
        return await self.run(self.path(key).read_bytes)

    async def apply(self, key: str, work: Callable[[memoryview], T]) -> T:
        def mapped() -> T:
            with self.path(key).open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                # Objects are immutable: mapped pages need no copy.
                return work(memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""))

        return await self.run(mapped)

    async def size(self, key: str) -> int:
        return await self.run(lambda: self.path(key).stat().st_size)

    async def move(self, key: str, to: str) -> None:
        def work() -> None:
            self.path(key).replace(self.path(to))
            flush_directory(self.path(to).parent)

        await self.run(work)

    async def delete(self, keys: list[str]) -> None:
        def work() -> None:
            for key in keys:
                self.path(key).unlink(missing_ok=True)

        await self.run(work)

    async def days(self, kind: str) -> list[str]:
        def work() -> list[str]:
            with suppress(FileNotFoundError):
                return [path.name for path in (self._root / kind).iterdir()]
            return []

        return await self.run(work)

    async def delete_day(self, folder: str) -> int:
        def work() -> int:
            path = self._root / folder
            with suppress(FileNotFoundError):  # another replica deletes the same day
                count = sum(1 for file in path.iterdir() if file.suffix != _TEMPORARY)
                shutil.rmtree(path, ignore_errors=True)
                if not path.exists():
                    return count
                raise OSError(f"{folder} can't be deleted")
            return 0

        return await self.run(work)

    async def check(self) -> None:
        # One check at a time, in a separate thread: a hanging disk blocks its threads.
        if self._check is None or self._check.done():
            self._check = asyncio.get_running_loop().run_in_executor(self._checks, check_writable, self._root)
            self._check.add_done_callback(_retrieve_exception)
        await asyncio.shield(self._check)


class _TemporaryFile:
    """File under a temporary name until `commit`, used by one thread at a time. Blocks."""

    def __init__(self, directory: Directory, key: str) -> None:
        self._directory = directory
        self._path = directory.path(key)
        # Concurrent writers of a result have separate temporary files. The sweeper deletes leftovers by day.
        self._temporary = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}{_TEMPORARY}")
        self._file: BinaryIO | None = None

    def write(self, chunks: list[Bytes]) -> None:
        self._open().writelines(chunks)

    def commit(self, tail: list[Bytes]) -> None:
        with self._open() as file:
            file.writelines(tail)
            file.flush()
            os.fsync(file.fileno())
        self._temporary.replace(self._path)
        flush_directory(self._path.parent)

    def abort(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # a full disk fails again at the write of the buffer
                self._file.close()
            self._temporary.unlink(missing_ok=True)

    def _open(self) -> BinaryIO:
        if self._file is None:
            self._directory.prepare(self._path.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._file = os.fdopen(os.open(self._temporary, flags, 0o600), "wb")
        return self._file


class FileWriter:
    """Writer of one file in the store's threads."""

    def __init__(self, directory: Directory, key: str) -> None:
        self._run = directory.run
        self._file = _TemporaryFile(directory, key)

    async def write(self, chunks: list[Bytes]) -> None:
        await self._run(lambda: self._file.write(chunks))

    async def commit(self, tail: list[Bytes]) -> None:
        await self._run(lambda: self._file.commit(tail))

    async def abort(self) -> None:
        await self._run(self._file.abort)
