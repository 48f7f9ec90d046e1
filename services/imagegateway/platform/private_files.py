"""Files that only this user can read."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from imagegateway.platform.disk import flush_directory

if TYPE_CHECKING:
    from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write a private file, which a crash may leave in part. Raises OSError."""
    path.touch(mode=0o600)
    path.write_text(text)


def write_once(path: Path, text: str) -> None:
    """Write a private file atomically and durably. The first of several processes wins. Raises OSError."""
    temporary = _write_beside(path, text)
    try:
        with suppress(FileExistsError):
            path.hardlink_to(temporary)  # unlike a rename, a link fails if another process was first
    finally:
        temporary.unlink(missing_ok=True)
    flush_directory(path.parent)


def replace_private(path: Path, text: str) -> None:
    """Write a private file atomically and durably, in place of an earlier one. Raises OSError."""
    _write_beside(path, text).replace(path)
    flush_directory(path.parent)


def _write_beside(path: Path, text: str) -> Path:
    """Write a private, flushed file under a temporary name, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
