"""Random identities that survive restarts, each in a small file of the data directory."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from imagegateway.platform.disk import flush_directory

if TYPE_CHECKING:
    from pathlib import Path

GATEWAY: Final = "gateway-id"
"""Name of the file whose identity distinguishes this gateway from others on the same NATS server."""

_IDENTITY: Final = re.compile(r"[0-9a-f]{16}")


def load_identity(path: Path) -> str:
    """Return the identity in a file. Create it if the file is absent or malformed. Raises OSError.

    Concurrent processes agree on one identity.
    """
    with suppress(FileNotFoundError):
        found = path.read_text(errors="replace").strip()
        if _IDENTITY.fullmatch(found):
            return found
        return renew_identity(path)
    write_once(path, secrets.token_hex(8))
    return load_identity(path)


def renew_identity(path: Path) -> str:
    """Replace the identity in a file, and return the new one. Raises OSError."""
    identity = secrets.token_hex(8)
    temporary = _write_beside(path, identity)
    temporary.replace(path)
    flush_directory(path.parent)
    return identity


def write_once(path: Path, text: str) -> None:
    """Write a private file atomically and durably. The first of several processes wins. Raises OSError."""
    temporary = _write_beside(path, text)
    try:
        with suppress(FileExistsError):
            path.hardlink_to(temporary)  # unlike a rename, a link fails if another process was first
    finally:
        temporary.unlink(missing_ok=True)
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
