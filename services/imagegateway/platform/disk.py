"""Local disks: checks before writes, durable directory entries, and messages for failed writes."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import tempfile
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

RESERVE_BYTES: Final = 64 * 1024 * 1024
"""Free space reserved for work that has started. A disk with less counts as full."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSED: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def require_room(folder: Path) -> None:
    """Raise OSError when the disk of a folder has less than `RESERVE_BYTES` free."""
    if shutil.disk_usage(folder).free < RESERVE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def check_writable(folder: Path) -> None:
    """Write, flush and delete a small file. Blocks. Raise OSError for a failed write or a full disk."""
    require_room(folder)
    # A file without a name: a failure leaves nothing behind.
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        file.write(b"\0" * 512)
        os.fsync(file.fileno())


def flush_directory(path: Path) -> None:
    """Flush a directory's entries, so that new and renamed files in it survive a power cut. Blocks."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class SharedFlush:
    """Flush of a directory's entries for threads that ask side by side: one flush serves all that asked before it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._flushing = threading.Lock()
        self._times = itertools.count(1)
        """Logical clock of requests and flushes."""
        self._flushed = 0
        """Time at which the last successful flush began."""

    def flush(self) -> None:
        """Return after a flush that began within this call. Blocks. Raises OSError."""
        asked = next(self._times)
        with self._flushing:
            if asked < self._flushed:
                return
            begun = next(self._times)
            flush_directory(self._folder)
            self._flushed = begun


def reason(error: BaseException, part: str) -> str:
    """Return the message for callers about a failure of `part`, such as "the media store"."""
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL:
        return f"{part} has no room"
    if number in _REFUSED:
        return f"{part} can't be written"
    if isinstance(error, TimeoutError):
        return f"{part} does not answer in time"
    return f"{part} failed"
