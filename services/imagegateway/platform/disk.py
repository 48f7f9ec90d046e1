"""Local disks: whether a folder takes writes, and what a failed write means in words."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

RESERVE_BYTES: Final = 64 * 1024 * 1024
"""Free space that new work leaves to the work under way: a disk with less counts as full."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSED: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def require_room(folder: Path) -> None:
    """Raise OSError when the disk of a folder has less than `RESERVE_BYTES` left."""
    if shutil.disk_usage(folder).free < RESERVE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def check_writable(folder: Path) -> None:
    """Write, flush and delete a small file. Blocks. Raise OSError when that fails or room is short."""
    require_room(folder)
    # Without a name: nothing is left behind, whatever fails.
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


def reason(error: BaseException, part: str) -> str:
    """Return what a failure of `part`, such as "the media store", means, in words for callers."""
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL:
        return f"{part} has no room"
    if number in _REFUSED:
        return f"{part} can't be written"
    if isinstance(error, TimeoutError):
        return f"{part} does not answer in time"
    return f"{part} failed"
