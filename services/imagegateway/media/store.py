"""The media store: immutable objects in a local directory or a bucket, behind one port.

A key says when its object may go, so retention is the deletion of whole days that have passed, and can't meet
a writer. Results are `results/<YYYY-MM-DD>/<sha256>`; those that arrive in pieces have 64 random hex digits instead,
as their digest is known only at the end. Inputs of edits are `uploads/<YYYY-MM-DD>/<32 random hex digits>`. The date
is the UTC day on which the object is deleted.

A bucket should have a lifecycle rule that ends incomplete multipart uploads, for those of killed processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import unquote, urlsplit

from imagegateway.media.store_backends import Bucket, Bytes, Directory
from imagegateway.platform import disk, logs
from imagegateway.platform.cancellation import run_to_end
from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.setting_source import SettingError
from obstore.exceptions import BaseError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from imagegateway.media.store_backends import Backend

RETENTION_DAYS: Final = 7
_KINDS: Final = ("results", "uploads")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_KEY: Final = re.compile(rf"results/{_DAY.pattern}/[0-9a-f]{{64}}|uploads/{_DAY.pattern}/[0-9a-f]{{32}}")
_CHUNK: Final = 1024 * 1024
_SMALLEST_CHUNK: Final = 64 * 1024
_STREAMED: Final = 256 * 1024 * 1024
"""Bytes that all streams of this process hold together, while there are fewer than 4096 of them."""
_CHECK_SECONDS: Final = 5.0
_BATCH: Final = 2 * 1024 * 1024
"""Bytes of an upload that are written at once: each write is a trip to a thread and back."""

T = TypeVar("T")
_log = logs.get(__name__)


class StoreError(Exception):
    """The store could not do what it was asked."""


class NotFound(StoreError):  # noqa: N818  the base class says that these are errors
    """No object has this key, or no longer."""


class TooLarge(StoreError):  # noqa: N818
    """An upload passed its limit."""


class StoreUnavailable(StoreError, UnavailableError):  # noqa: N818
    """Disk or bucket failed; the cause is chained and not for callers."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that is in the store, until its day."""

    key: str
    size: int
    """Bytes."""
    sha256: str = ""
    """Of a result's bytes, 64 hex digits; uploads are not hashed: see `MediaStore.digest`."""


def deletion_time(key: str) -> int:
    """Unix seconds from which the object may be gone: midnight UTC of its day.

    Raises ValueError for what is no key.
    """
    if not _KEY.fullmatch(key):
        raise ValueError("not a key of the media store")
    return int(datetime.fromisoformat(f"{key.split('/')[1]}T00:00:00Z").timestamp())


def _checked(key: str) -> str:
    deletion_time(key)
    return key


async def _quietly(cleaning: Awaitable[None], key: str) -> None:
    """Clean up after a failure. The caller must see that one, so what fails here is only logged."""
    try:
        await run_to_end(cleaning)
    except (OSError, BaseError):
        _log.warning("store_not_cleaned_up", key=key, exc_info=True)


@contextlib.contextmanager
def _translated(missing: str | None = None) -> Iterator[None]:
    """Turn disk and bucket failures into ours; with `missing`, absence means that this key is not there."""
    try:
        yield
    except (OSError, BaseError) as error:
        if missing is not None and isinstance(error, FileNotFoundError):
            raise NotFound(missing) from error
        raise StoreUnavailable(disk.reason(error, "the media store")) from error


class MediaStore:
    """The port. Calls raise StoreUnavailable when disk or bucket fail, and ValueError for a malformed key."""

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        self._backend = backend
        self._clock = clock
        self._streams = 0

    @classmethod
    def open(cls, url: str, clock: Callable[[], float] = time.time) -> MediaStore:
        """Open `file:///dir` (made when absent), or a bucket by any URL of obstore such as `s3://bucket/prefix`.

        Credentials and endpoint of a bucket come from its usual environment (`AWS_…`), which obstore reads.
        `clock` gives Unix seconds. Raises SettingError when the URL can't be opened.
        """
        parts = urlsplit(url)
        try:
            if parts.scheme == "file":
                if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
                    raise ValueError("a local directory is written file:///absolute/path")
                return cls(Directory(Path(unquote(parts.path))), clock)
            if parts.scheme == "memory":
                raise ValueError("memory is not shared between the gateway's processes")
            return cls(Bucket(url), clock)
        except (OSError, ValueError, BaseError) as error:
            raise SettingError(f"IMAGEGATEWAY_MEDIA_URL can't be opened: {error}") from error

    def _day(self, ahead: int = 0) -> str:
        return datetime.fromtimestamp(self._clock() + ahead * 86400, UTC).date().isoformat()

    def _key(self, kind: str, name: str) -> str:
        # One day more: the last day has begun when the object is written, and it gets seven full ones.
        return f"{kind}/{self._day(RETENTION_DAYS + 1)}/{name}"

    async def put_result(self, data: bytes) -> Stored:
        """Store a finished picture or video under its digest, flushed to disk before this returns."""
        sha256 = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        key = self._key("results", sha256)
        sink = self._backend.sink(key)
        try:
            with _translated():
                await run_to_end(sink.commit([data]))
        except BaseException:
            await _quietly(sink.abort(), key)
            raise
        return Stored(key, len(data), sha256)

    def upload(self, max_bytes: int) -> Upload:
        """Begin an input that arrives in pieces; at most `max_bytes` long."""
        key = self._key("uploads", secrets.token_hex(16))
        return Upload(self._backend, key, max_bytes)

    def result(self, max_bytes: int) -> Upload:
        """Begin a result that arrives in pieces; at most `max_bytes` long, and stored under its digest at the end."""
        key = self._key("results", secrets.token_hex(32))
        return Upload(self._backend, key, max_bytes, hashlib.sha256())

    async def read(self, key: str) -> bytes:
        """The whole object. Raises NotFound."""
        with _translated(missing=_checked(key)):
            return await self._backend.read_all(key)

    async def apply(self, key: str, work: Callable[[memoryview], T]) -> T:
        """What `work`, in a thread, makes of the whole object, which is not copied where it is a local file.

        Raises NotFound, and what `work` raises.
        """
        with _translated(missing=_checked(key)):
            return await self._backend.apply(key, work)

    async def digest(self, key: str) -> str:
        """SHA-256 of the object, 64 hex digits. Raises NotFound."""
        return await self.apply(key, lambda data: hashlib.sha256(data).hexdigest())

    async def size(self, key: str) -> int | None:
        """Length in bytes; None when there is no such object."""
        try:
            with _translated(missing=_checked(key)):
                return await self._backend.size(key)
        except NotFound:
            return None

    async def stream(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        """`length` bytes from `start`, both within the object, in pieces of 64 KiB to 1 MiB: smaller the more streams
        are open. Raises NotFound.

        Each piece is its own read: a slow consumer holds neither file nor connection, one that stops leaves
        nothing behind.
        """
        _checked(key)
        end = start + length
        self._streams += 1
        try:
            while start < end:
                most = max(_SMALLEST_CHUNK, min(_CHUNK, _STREAMED // self._streams))
                with _translated(missing=key):
                    piece = await self._backend.read(key, start, min(most, end - start))
                if not piece:
                    raise StoreUnavailable("the object is shorter than its size")
                yield piece
                start += len(piece)
        finally:
            self._streams -= 1

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; those that are gone already are fine."""
        checked = [_checked(key) for key in keys]
        if checked:
            with _translated():
                await self._backend.delete(checked)

    async def sweep(self) -> int:
        """Delete all days that have passed, with what a crash left in them; gives the number of objects.

        Any replica may run it, also several at once.
        """
        today = self._day()
        count = 0
        with _translated():
            for kind in _KINDS:
                for day in await self._backend.days(kind):
                    if _DAY.fullmatch(day) and day <= today:
                        count += await self._backend.delete_day(f"{kind}/{day}")
        return count

    async def check(self) -> None:
        """Make a small write, for at most 5 s. Raises StoreUnavailable, also when a local disk is nearly full."""
        with _translated():
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._backend.check()


class Upload:
    """An object in the making. Leaving the context without `finish` leaves nothing in the store."""

    def __init__(self, backend: Backend, key: str, max_bytes: int, digest: hashlib._Hash | None = None) -> None:
        self._backend = backend
        self._key = key
        self._max_bytes = max_bytes
        self._digest = digest
        self._sink = backend.sink(key)
        self._pending: list[Bytes] = []
        self._pending_size = 0
        self._size = 0
        self._committing = False
        self._finished = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finished:
            await _quietly(self._discard(), self._key)

    async def write(self, chunk: Bytes) -> None:
        """Append. Raises TooLarge as soon as the sum passes the limit."""
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise TooLarge(f"more than {self._max_bytes} bytes")
        self._pending.append(chunk)
        self._pending_size += len(chunk)
        if self._pending_size >= _BATCH:
            with _translated():
                await run_to_end(self._sink.write(await self._taken()))

    async def finish(self) -> Stored:
        """Make the object visible, flushed to disk before this returns."""
        self._committing = True
        with _translated():
            await run_to_end(self._sink.commit(await self._taken()))
            stored = self._named()
            if stored.key != self._key:
                await run_to_end(self._backend.move(self._key, stored.key))
        self._finished = True
        return stored

    def _named(self) -> Stored:
        """Return what is stored: a result under its digest, which links and ETags name."""
        if self._digest is None:
            return Stored(self._key, self._size)
        sha256 = self._digest.hexdigest()
        return Stored(f"{self._key.rpartition('/')[0]}/{sha256}", self._size, sha256)

    async def _taken(self) -> list[Bytes]:
        """Return the pending chunks, which are pending no longer, and hash them."""
        chunks, self._pending, self._pending_size = self._pending, [], 0
        if self._digest:
            await asyncio.to_thread(_update, self._digest, chunks)
        return chunks

    async def _discard(self) -> None:
        await self._sink.abort()
        if self._committing:
            await self._backend.delete([self._key])


def _update(digest: hashlib._Hash, chunks: list[Bytes]) -> None:
    for chunk in chunks:
        digest.update(chunk)
