"""UNIX sockets of the gateway's processes: a folder whose path is short enough, for this user alone."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from pathlib import Path
from typing import Final

_MAX_PATH: Final = 107
"""Most bytes of a socket's path."""
_LONGEST_NAME: Final = "supervisor.sock.4194304"
"""supervisord binds its socket under a name that ends with its process id."""
_SHARED: Final = Path("/tmp")  # noqa: S108  `make_folder` refuses what another user made there


def folder(run_dir: Path) -> Path:
    """Return `run_dir`, or a folder in /tmp in its place where the paths of sockets would be too long.

    The folder in /tmp follows from `run_dir` and the user, so all processes of a stack find the same one. TMPDIR has
    no part in it since it may be long, XDG_RUNTIME_DIR since a logout removes it.
    """
    path = os.fsencode(run_dir)
    if len(path) + len(f"/{_LONGEST_NAME}") <= _MAX_PATH:
        return run_dir
    return _SHARED / f"imagegateway-{os.geteuid()}-{hashlib.sha256(path).hexdigest()[:16]}"


def make_folder(path: Path) -> None:
    """Make a folder for sockets. Raise PermissionError when one in /tmp is not this user's alone."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.parent != _SHARED:
        return
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise PermissionError(f"{path} must be a folder of this user alone, with mode 0700: remove it")


def unlink(path: Path) -> None:
    """Remove a socket, and its folder in /tmp once empty: supervisord's socket stays there while its stack runs."""
    path.unlink(missing_ok=True)
    if path.parent.parent == _SHARED:
        with contextlib.suppress(OSError):
            path.parent.rmdir()


def remove_folder(path: Path) -> None:
    """Remove a folder in /tmp, with the sockets in it. One elsewhere stays."""
    if path.parent == _SHARED:
        shutil.rmtree(path, ignore_errors=True)
