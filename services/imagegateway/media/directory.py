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
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from imagegateway.platform.disk import SharedFlush, check_writable, flush_directory
from imagegateway.platform.worker_threads import WorkerThreads

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.media.backend import Bytes

DELETED_FILES: Final = 100
"""Most files that one call to a thread deletes: a thread without pauses delays the event loop by milliseconds."""
_THREADS: Final = 8
_TEMPORARY: Final = ".tmp"
_MOST_CHUNKS: Final = 1024
"""Most chunks of one system call: Linux's IOV_MAX."""

T = TypeVar("T")


def _make_directory(path: Path) -> None:
    """Create a directory and its parents durably."""
    if not path.is_dir():
        _make_directory(path.parent)
        path.mkdir(exist_ok=True)
        flush_directory(path.parent)


def _delete_some(folder: Path) -> list[str]:
    """Delete at most `DELETED_FILES` files of a folder. Return their names; empty: none are left."""
    deleted: list[str] = []
    with suppress(FileNotFoundError), os.scandir(folder) as entries:  # another replica deletes the same day
        files = (entry for entry in entries if not entry.is_dir(follow_symlinks=False))
        for file in islice(files, DELETED_FILES):
            (folder / file.name).unlink()
            deleted.append(file.name)
    return deleted


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
        self.folder: Final = str(root)
        self._flushed: dict[str, SharedFlush] = {}
        """Days' folders that this process has prepared."""
        # Separate threads: a flush waits for the disk, and must not wait for image decoding as well.
        self._threads = WorkerThreads(_THREADS, "media-store")
        self._checks = WorkerThreads(1, "media-store-check")
        self._check: asyncio.Future[None] | None = None

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run blocking work in one of the store's threads."""
        return self._threads.run(work)

    def path(self, key: str) -> Path:
        """Return the path of an object."""
        return self._root / key

    def create_file(self, path: str, folder: str) -> int:
        """Create a file in a day's folder, and return its descriptor. Creates the folder durably. Blocks."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        if folder in self._flushed:
            with suppress(FileNotFoundError):  # the folder was removed
                return os.open(path, flags, 0o600)
        self._prepare(Path(folder))
        self._flushed.setdefault(folder, SharedFlush(Path(folder)))
        return os.open(path, flags, 0o600)

    def _prepare(self, folder: Path) -> None:
        """Create a day's folder durably."""
        folder.mkdir(parents=True, exist_ok=True)
        # The process that created the folder may have died before the flush: each process flushes it once.
        flush_directory(folder.parent)
        flush_directory(self._root)

    def flush_names(self, folder: str) -> None:
        """Flush the names in a prepared folder. Blocks."""
        self._flushed[folder].flush()

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
        path, count = self._root / folder, 0
        while deleted := await self.run(lambda: _delete_some(path)):
            count += sum(not name.endswith(_TEMPORARY) for name in deleted)

        def delete_folder() -> None:
            shutil.rmtree(path, ignore_errors=True)
            if path.exists():
                raise OSError(f"{folder} can't be deleted")

        await self.run(delete_folder)
        return count

    async def check(self) -> None:
        # One check at a time, in a separate thread: a hanging disk blocks its threads.
        if self._check is None or self._check.done():
            self._check = self._checks.run(lambda: check_writable(self._root))
            self._check.add_done_callback(_retrieve_exception)
        await asyncio.shield(self._check)


class _TemporaryFile:
    """File under a temporary name until `commit`, used by one thread at a time. Blocks.

    Paths are texts and files descriptors, as each system call releases the interpreter lock and waits for it again.
    """

    def __init__(self, directory: Directory, key: str) -> None:
        self._directory = directory
        self._path = f"{directory.folder}/{key}"
        self._folder = self._path.rpartition("/")[0]
        # Concurrent writers of a result have separate temporary files. The sweeper deletes leftovers by day.
        self._temporary = f"{self._path}.{secrets.token_hex(8)}{_TEMPORARY}"
        self._file: int | None = None
        """Descriptor of the open file."""
        self._created = False

    def write(self, chunks: list[Bytes]) -> None:
        _write(self._open(), chunks)

    def commit(self, tail: list[Bytes]) -> None:
        try:
            self.write(tail)
            os.fsync(self._open())
        finally:
            self._close()
        os.replace(self._temporary, self._path)  # noqa: PTH105
        self._directory.flush_names(self._folder)

    def abort(self) -> None:
        with suppress(OSError):
            self._close()
        if self._created:
            Path(self._temporary).unlink(missing_ok=True)

    def _open(self) -> int:
        if self._file is None:
            self._file = self._directory.create_file(self._temporary, self._folder)
            self._created = True
        return self._file

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _write(file: int, chunks: list[Bytes]) -> None:
    """Append all bytes of the chunks to a file."""
    for start in range(0, len(chunks), _MOST_CHUNKS):
        batch = chunks[start : start + _MOST_CHUNKS]
        left = sum(map(len, batch))
        while left:
            written = os.writev(file, batch)
            left -= written
            if left:  # the disk is full or a signal came: the next write raises the error, or ends the batch
                batch = [memoryview(b"".join(batch))[written:]]


class FileWriter:
    """Writer of one file in the store's threads."""

    def __init__(self, directory: Directory, key: str) -> None:
        self._run = directory.run
        self._file = _TemporaryFile(directory, key)

    def write(self, chunks: list[Bytes]) -> asyncio.Future[None]:
        return self._run(lambda: self._file.write(chunks))

    def commit(self, tail: list[Bytes]) -> asyncio.Future[None]:
        return self._run(lambda: self._file.commit(tail))

    def abort(self) -> asyncio.Future[None]:
        return self._run(self._file.abort)
