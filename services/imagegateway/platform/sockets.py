"""Folder of the UNIX sockets of the gateway's processes, with a short path, for this user alone."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from pathlib import Path
from typing import Final

from imagegateway.platform.addresses import MAX_PATH_BYTES

_LONGEST_NAME: Final = "supervisor.sock.4194304"
"""Longest name: supervisord binds its socket under a name that ends with its process id."""
_SHARED: Final = Path("/tmp")  # noqa: S108  `make_folder` refuses folders of other users


def folder(run_dir: Path) -> Path:
    """Return `run_dir`, or a folder in /tmp when the paths of sockets in `run_dir` are too long.

    The folder in /tmp derives from `run_dir` and the user, so all processes of a stack find it. TMPDIR is not used
    because it may be long, and XDG_RUNTIME_DIR because a logout removes it.
    """
    path = os.fsencode(run_dir)
    if len(path) + len(f"/{_LONGEST_NAME}") <= MAX_PATH_BYTES:
        return run_dir
    return _SHARED / f"imagegateway-{os.geteuid()}-{hashlib.sha256(path).hexdigest()[:16]}"


def make_folder(path: Path) -> None:
    """Create a folder for sockets. Raise PermissionError for a folder in /tmp that other users can access."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.parent != _SHARED:
        return
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise PermissionError(f"{path} must be a folder of this user alone, with mode 0700: remove it")


def unlink(path: Path) -> None:
    """Remove a socket, and its folder in /tmp once empty. supervisord's socket remains while its stack runs."""
    path.unlink(missing_ok=True)
    if path.parent.parent == _SHARED:
        with contextlib.suppress(OSError):
            path.parent.rmdir()


def remove_folder(path: Path) -> None:
    """Remove a folder in /tmp with its sockets. Keep a folder elsewhere."""
    if path.parent == _SHARED:
        shutil.rmtree(path, ignore_errors=True)
