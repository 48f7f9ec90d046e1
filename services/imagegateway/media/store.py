"""Media store: immutable objects in a local directory or a bucket, behind one port.

Keys state the day of deletion (`imagegateway.media.objects`), so the sweeper deletes whole past days and never
conflicts with a writer.

A bucket should have a lifecycle rule that aborts incomplete multipart uploads: killed processes leave such uploads.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import unquote, urlsplit

from imagegateway.media.bucket import Bucket
from imagegateway.media.directory import Directory
from imagegateway.media.objects import MediaObject, ObjectKind, check_key, is_due, new_key
from imagegateway.platform import disk, logs, metrics, tracing
from imagegateway.platform.cancellation import run_to_end
from imagegateway.platform.cpu_work import run_sized
from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.setting_source import SettingError
from obstore.exceptions import BaseError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Literal, Self

    from imagegateway.media.backend import Backend, Bytes
    from imagegateway.media.objects import ResultOwner
    from prometheus_client import Histogram

    Operation = Literal["write", "read", "delete", "sweep", "check"]
    from imagegateway.platform.spans import Span

_MAX_CHUNK: Final = 1024 * 1024
_MIN_CHUNK: Final = 64 * 1024
_STREAMED: Final = 256 * 1024 * 1024
"""Bytes that all streams of this process hold together, up to 4096 streams."""
_CHECK_SECONDS: Final = 5.0
_BATCH: Final = 2 * 1024 * 1024
"""Bytes of an upload per write: each write is a round trip to a thread."""

T = TypeVar("T")
_log = logs.get(__name__)


class StoreError(Exception):
    """Failure of the media store."""


class NotFound(StoreError):  # noqa: N818  the base class is named an error
    """No object has this key."""


class TooLarge(StoreError):  # noqa: N818
    """An upload exceeded its limit."""


class StoreUnavailable(StoreError, UnavailableError):  # noqa: N818
    """Disk or bucket failed. The chained cause is not for callers."""


async def _clean_up(cleaning: Awaitable[None], key: str) -> None:
    """Clean up after a failure. Log a failure of the cleaning itself: the caller needs the first one."""
    try:
        await run_to_end(cleaning)
    except (OSError, BaseError):
        _log.warning("store_not_cleaned_up", key=key, exc_info=True)


@cache
def _seconds(operation: Operation, outcome: str) -> Histogram:
    return metrics.MEDIA_STORE_SECONDS.labels(operation, outcome)


@contextlib.contextmanager
def _operating(operation: Operation, key: str | None = None) -> Iterator[None]:
    """Time an operation, and convert failures of disk and bucket to StoreUnavailable.

    With `key`, an absent object raises NotFound.
    """
    began, outcome = time.perf_counter(), "done"
    try:
        yield
    except (OSError, BaseError) as error:
        if key is not None and isinstance(error, FileNotFoundError):
            outcome = "absent"
            raise NotFound(key) from error
        outcome = "failed"
        raise StoreUnavailable(disk.reason(error, "the media store")) from error
    finally:
        _seconds(operation, outcome).observe(time.perf_counter() - began)


def _writing(size: int) -> Span:
    """Return the span of an object's last write."""
    return tracing.span("media.write", attributes={"imagegateway.media.bytes": size})


class MediaStore:
    """Port of the media store. Methods raise StoreUnavailable, and ValueError for a malformed key."""

    def __init__(self, backend: Backend, clock: Callable[[], float]) -> None:
        """Use `clock` for Unix seconds."""
        self._backend = backend
        self._clock = clock
        self._streams = 0

    @classmethod
    def open(cls, url: str, clock: Callable[[], float] = time.time) -> MediaStore:
        """Open `file:///dir` (created if absent), or a bucket by an obstore URL such as `s3://bucket/prefix`.

        obstore reads a bucket's credentials and endpoint from the usual environment (`AWS_…`). `clock` returns Unix
        seconds. Raises SettingError for a URL that can't be opened.
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
            reason = str(error).partition("\n")[0]  # obstore adds its internal state in further lines
            raise SettingError(f"IMAGEGATEWAY_MEDIA_URL can't be opened: {reason}") from error

    async def put_result(self, data: bytes, owner: ResultOwner) -> MediaObject:
        """Store a job's finished image or video under its SHA-256, flushed to disk."""
        sha256 = await run_sized(len(data), lambda: hashlib.sha256(data).hexdigest())
        key = new_key(ObjectKind.RESULT, owner.name(sha256), self._clock(), owner.days)
        writer = self._backend.open_writer(key)
        try:
            with _operating("write"), _writing(len(data)):
                await run_to_end(writer.commit([data]))
        except BaseException:
            await _clean_up(writer.abort(), key)
            raise
        return MediaObject(key, len(data), sha256)

    def upload(self, max_bytes: int) -> Upload:
        """Begin an input image that arrives in pieces, of at most `max_bytes`."""
        key = new_key(ObjectKind.UPLOAD, secrets.token_hex(16), self._clock())
        return Upload(self._backend, key, max_bytes)

    def result(self, max_bytes: int, owner: ResultOwner) -> Upload:
        """Begin a job's result that arrives in pieces, of at most `max_bytes`. `finish` names it by its SHA-256."""
        key = new_key(ObjectKind.RESULT, owner.name(secrets.token_hex(32)), self._clock(), owner.days)
        return Upload(self._backend, key, max_bytes, owner)

    async def read(self, key: str) -> bytes:
        """Return the whole object. Raises NotFound."""
        with _operating("read", check_key(key)):
            return await self._backend.read_all(key)

    async def apply(self, key: str, work: Callable[[memoryview], T]) -> T:
        """Run `work` on the whole object in a thread, and return its result. A local file is mapped, not copied.

        Raises NotFound and the errors of `work`.
        """
        with _operating("read", check_key(key)):
            return await self._backend.apply(key, work)

    async def digest(self, key: str) -> str:
        """Return the object's SHA-256 as 64 hex digits. Raises NotFound."""
        return await self.apply(key, lambda data: hashlib.sha256(data).hexdigest())

    async def size(self, key: str) -> int | None:
        """Return the object's length in bytes. None: there is no such object."""
        try:
            with _operating("read", check_key(key)):
                return await self._backend.size(key)
        except NotFound:
            return None

    async def stream(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        """Yield `length` bytes from `start`, a range within the object, in pieces of 64 KiB to 1 MiB.

        Pieces shrink as more streams are open. Each piece is a separate read: a slow consumer holds no file and no
        connection, and a consumer may stop early. Raises NotFound.
        """
        check_key(key)
        end = start + length
        self._streams += 1
        try:
            while start < end:
                most = max(_MIN_CHUNK, min(_MAX_CHUNK, _STREAMED // self._streams))
                with _operating("read", key):
                    piece = await self._backend.read(key, start, min(most, end - start))
                if not piece:
                    raise StoreUnavailable("the object is shorter than its size")
                yield piece
                start += len(piece)
        finally:
            self._streams -= 1

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete objects. Absent objects are no error."""
        checked = [check_key(key) for key in keys]
        if checked:
            with _operating("delete"):
                await self._backend.delete(checked)

    async def sweep(self) -> int:
        """Delete all past days, temporary files included. Return the number of objects.

        Safe on several replicas at once.
        """
        now = self._clock()
        count = 0
        with _operating("sweep"):
            for kind in ObjectKind:
                for day in await self._backend.days(kind):
                    if is_due(day, now):
                        count += await self._backend.delete_day(f"{kind}/{day}")
        return count

    async def check(self) -> None:
        """Make a small write within 5 s. Raises StoreUnavailable, also for a local disk that is nearly full."""
        with _operating("check"):
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._backend.check()


class Upload:
    """Upload of one object. Leaving the context without `finish` discards the object."""

    def __init__(self, backend: Backend, key: str, max_bytes: int, owner: ResultOwner | None = None) -> None:
        """With `owner`, `finish` names the object by its hash."""
        self._backend = backend
        self._key = key
        self._max_bytes = max_bytes
        self._owner = owner
        self._digest = None if owner is None else hashlib.sha256()
        self._writer = backend.open_writer(key)
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
            await _clean_up(self._discard(), self._key)

    async def write(self, chunk: Bytes) -> None:
        """Append bytes. Raises TooLarge as soon as the size exceeds the limit."""
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise TooLarge(f"more than {self._max_bytes} bytes")
        self._pending.append(chunk)
        self._pending_size += len(chunk)
        if self._pending_size >= _BATCH:
            with _operating("write"):
                await run_to_end(self._writer.write(await self._take_pending()))

    async def finish(self) -> MediaObject:
        """Make the object visible, flushed to disk, and return it."""
        self._committing = True
        with _operating("write"), _writing(self._size):
            await run_to_end(self._writer.commit(await self._take_pending()))
            stored = self._object()
            if stored.key != self._key:
                await run_to_end(self._backend.move(self._key, stored.key))
        self._finished = True
        return stored

    def _object(self) -> MediaObject:
        """Return the finished object. A result's key is its hash, which links and ETags contain."""
        if self._owner is None or self._digest is None:
            return MediaObject(self._key, self._size)
        sha256 = self._digest.hexdigest()
        return MediaObject(f"{self._key.rpartition('/')[0]}/{self._owner.name(sha256)}", self._size, sha256)

    async def _take_pending(self) -> list[Bytes]:
        """Remove, hash and return the pending chunks."""
        chunks, self._pending, self._pending_size = self._pending, [], 0
        if self._digest:
            await asyncio.to_thread(_update, self._digest, chunks)
        return chunks

    async def _discard(self) -> None:
        await self._writer.abort()
        if self._committing:
            await self._backend.delete([self._key])


def _update(digest: hashlib._Hash, chunks: list[Bytes]) -> None:
    for chunk in chunks:
        digest.update(chunk)
