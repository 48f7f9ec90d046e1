"""Where the media store keeps its bytes: `Directory` on a local disk, `Bucket` behind obstore.

Keys are checked by `imagegateway.media.store`, the only user of this module. Absent objects raise
FileNotFoundError, everything else that fails OSError or obstore's BaseError.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, TypeVar

import obstore
from imagegateway.platform import disk
from obstore.store import from_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO

    from obstore import AsyncWritableFile

_PART: Final = 5 * 1024 * 1024  # the least that S3 takes as a part
_PAGE: Final = 1000
_THREADS: Final = 8
_TEMPORARY: Final = ".tmp"
_CHECK_KEY: Final = "write-check"
"""An empty object, overwritten by each check of a bucket."""

T = TypeVar("T")
Bytes: TypeAlias = bytes | memoryview


class Sink(Protocol):
    """An object in the making; the calls come one after the other, and none is cancelled."""

    async def write(self, chunks: list[Bytes]) -> None: ...

    async def commit(self, tail: list[Bytes]) -> None:
        """Write the last chunks, and make the object visible and durable in place of one that is there."""

    async def abort(self) -> None:
        """Leave nothing of what was written. A `commit` that was tried may have left the object."""


class Backend(Protocol):
    """What differs between disk and bucket."""

    def sink(self, key: str) -> Sink:
        """Begin an object."""

    async def read(self, key: str, start: int, length: int) -> bytes:
        """At most `length` bytes from `start`; fewer only at the object's end."""

    async def read_all(self, key: str) -> bytes: ...

    async def apply(self, key: str, work: Callable[[memoryview], T]) -> T:
        """What `work`, in a thread, makes of the object's bytes; it must not keep them."""

    async def size(self, key: str) -> int: ...

    async def move(self, key: str, to: str) -> None:
        """Give an object another key of the same day, in place of an object that has it already."""

    async def delete(self, keys: list[str]) -> None:
        """Delete objects, absent ones without complaint."""

    async def days(self, kind: str) -> list[str]:
        """Names of the folders under `kind`."""

    async def delete_day(self, folder: str) -> int:
        """Delete a folder and give its number of objects."""

    async def check(self) -> None:
        """Make a small write, and raise when it fails."""


def _flush_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_directory(path: Path) -> None:
    """Make a directory and its parents such that they survive a power cut."""
    if not path.is_dir():
        _make_directory(path.parent)
        path.mkdir(exist_ok=True)
        _flush_directory(path.parent)


def _heard(check: asyncio.Future[None]) -> None:
    """Look at the failure of a check that nobody waits for any more: else asyncio complains."""
    if not check.cancelled():
        check.exception()


class Directory:
    """Plain files: written under a temporary name beside the final one, flushed, renamed, directory flushed.

    obstore renames as well but never flushes, and flushing what it wrote would cost a second open.
    """

    def __init__(self, root: Path) -> None:
        """Raises OSError when the directory can't be made."""
        _make_directory(root)
        self._root = root
        self._flushed: set[Path] = set()
        # Threads of its own: a flush waits for the disk, and must not wait for picture decoding as well.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="media-store")
        self._checks = ThreadPoolExecutor(1, thread_name_prefix="media-store-check")
        self._check: asyncio.Future[None] | None = None

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do blocking work in one of the store's threads."""
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    def path(self, key: str) -> Path:
        return self._root / key

    def prepare(self, folder: Path) -> None:
        """Make a day's folder such that it survives a power cut. Blocks."""
        if folder not in self._flushed or not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            # Whoever made it may have died before flushing, so each process does it once for itself.
            _flush_directory(folder.parent)
            _flush_directory(self._root)
            self._flushed.add(folder)

    def sink(self, key: str) -> FileSink:
        return FileSink(self, key)

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
                # Objects never change, so their pages are as good as a copy.
                return work(memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""))

        return await self.run(mapped)

    async def size(self, key: str) -> int:
        return await self.run(lambda: self.path(key).stat().st_size)

    async def move(self, key: str, to: str) -> None:
        def work() -> None:
            self.path(key).replace(self.path(to))
            _flush_directory(self.path(to).parent)

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
            with suppress(FileNotFoundError):  # another replica sweeps the same day
                count = sum(1 for file in path.iterdir() if file.suffix != _TEMPORARY)
                shutil.rmtree(path, ignore_errors=True)
                if not path.exists():
                    return count
                raise OSError(f"{folder} can't be deleted")
            return 0

        return await self.run(work)

    async def check(self) -> None:
        # One at a time, in a thread of its own: a disk that hangs keeps its threads.
        if self._check is None or self._check.done():
            self._check = asyncio.get_running_loop().run_in_executor(self._checks, disk.check_writable, self._root)
            self._check.add_done_callback(_heard)
        await asyncio.shield(self._check)


class _File:
    """A file in the making, used by one thread at a time. Blocks."""

    def __init__(self, directory: Directory, key: str) -> None:
        self._directory = directory
        self._path = directory.path(key)
        # Two writers of the same result have a temporary file each; the day's sweep finds both.
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
        _flush_directory(self._path.parent)

    def abort(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # a full disk fails again when the buffer is written
                self._file.close()
            self._temporary.unlink(missing_ok=True)

    def _open(self) -> BinaryIO:
        if self._file is None:
            self._directory.prepare(self._path.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._file = os.fdopen(os.open(self._temporary, flags, 0o600), "wb")
        return self._file


class FileSink:
    """`_File` in the store's threads."""

    def __init__(self, directory: Directory, key: str) -> None:
        self._run = directory.run
        self._file = _File(directory, key)

    async def write(self, chunks: list[Bytes]) -> None:
        await self._run(lambda: self._file.write(chunks))

    async def commit(self, tail: list[Bytes]) -> None:
        await self._run(lambda: self._file.commit(tail))

    async def abort(self) -> None:
        await self._run(self._file.abort)


class Bucket:
    """Any object store that obstore reaches."""

    def __init__(self, url: str) -> None:
        """Raises ValueError or BaseError for a URL that obstore doesn't take; nothing is connected yet."""
        # No client options: they would replace those of the environment, such as AWS_ALLOW_HTTP.
        self._store = from_url(url, retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=30)})

    def sink(self, key: str) -> BucketSink:
        writer = obstore.open_writer_async(self._store, key, buffer_size=_PART, max_concurrency=2)
        return BucketSink(writer)

    async def read(self, key: str, start: int, length: int) -> bytes:
        return bytes(await obstore.get_range_async(self._store, key, start=start, length=length))

    async def read_all(self, key: str) -> bytes:
        answer = await obstore.get_async(self._store, key)
        return bytes(await answer.bytes_async())

    async def apply(self, key: str, work: Callable[[memoryview], T]) -> T:
        data = await self.read_all(key)
        return await asyncio.to_thread(work, memoryview(data))

    async def size(self, key: str) -> int:
        return (await obstore.head_async(self._store, key))["size"]

    async def move(self, key: str, to: str) -> None:
        await obstore.rename_async(self._store, key, to)  # the server copies; no byte comes here

    async def delete(self, keys: list[str]) -> None:
        try:
            await obstore.delete_async(self._store, keys)
        except FileNotFoundError:  # some stores stop at the first one that is absent
            for key in keys:
                with suppress(FileNotFoundError):
                    await obstore.delete_async(self._store, key)

    async def days(self, kind: str) -> list[str]:
        listing = await obstore.list_with_delimiter_async(self._store, kind)
        return [prefix.rsplit("/", 1)[-1] for prefix in listing["common_prefixes"]]

    async def delete_day(self, folder: str) -> int:
        count = 0
        async for page in obstore.list(self._store, folder, chunk_size=_PAGE):
            await self.delete([entry["path"] for entry in page])
            count += len(page)
        return count

    async def check(self) -> None:
        await obstore.list_with_delimiter_async(self._store)  # some servers make the bucket for a write
        await obstore.put_async(self._store, _CHECK_KEY, b"")


class BucketSink:
    """obstore's writer: one request for what fits a part, a multipart upload for more."""

    def __init__(self, writer: AsyncWritableFile) -> None:
        self._writer = writer

    async def write(self, chunks: list[Bytes]) -> None:
        for chunk in chunks:
            await self._writer.write(chunk)

    async def commit(self, tail: list[Bytes]) -> None:
        await self.write(tail)
        await self._writer.close()

    async def abort(self) -> None:
        if not await self._writer.closed():
            # The type of an exception is what tells the writer to abort instead of closing.
            await self._writer.__aexit__(asyncio.CancelledError, None, None)
