"""A full disk: a tmpfs for one test. The test must run as root."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A mounted disk, and the ballast that fills it."""

    root: Path

    @property
    def _ballast(self) -> Path:
        return self.root / "ballast"

    def fill(self, free: int = 0) -> None:
        """Leave at most `free` bytes."""
        self.empty()
        with self._ballast.open("wb", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(self.root).free - free)

    def empty(self) -> None:
        """Free the ballast's space."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def mounted(root: Path, mebibytes: int) -> Iterator[SmallDisk]:
    """Mount a disk at a new folder. Skip the test where mounting isn't allowed."""
    root.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=700", "tmpfs", str(root)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a disk needs root")
    try:
        yield SmallDisk(root)
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)
