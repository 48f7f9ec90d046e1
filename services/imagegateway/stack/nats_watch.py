"""Recovery of the stack's NATS server: a failed write blocks its stream until the server restarts."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from imagegateway.platform import disk, logs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_STUCK: Final = re.compile(
    r"critical write error|no space left on device|input/output error|read-only file system|JetStream .*DISABLED",
    re.IGNORECASE,
)
"""Log lines of a server whose streams reject writes."""
RESTART_INTERVAL_SECONDS: Final = 30.0
"""Minimum time between two restarts, for a disk that keeps failing."""
_RESTART_TIMEOUT_SECONDS: Final = 30.0
_log = logs.get(__name__)


class NatsWatch:
    """Watcher of the server's log. Restarts a stuck server once its disk has room.

    `folder` is on the server's disk; `clock` returns monotonic seconds.
    """

    def __init__(
        self, log: Path, folder: Path, restart: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._folder = folder
        self._restart = restart
        self._clock = clock
        self._offset = log.stat().st_size if log.exists() else 0
        self._restarted_at: float | None = None
        self._stuck = False

    async def check(self) -> None:
        """Restart the server if a stream rejects writes and the disk has room."""
        if _STUCK.search(self._read_log()) and not self._stuck:
            self._stuck = True
            _log.error("nats_rejects_writes", log=str(self._log))
        if not self._stuck or not self._has_room():
            return
        if self._restarted_at is not None and self._clock() - self._restarted_at < RESTART_INTERVAL_SECONDS:
            return
        _log.warning("nats_restart", reason="the server rejects writes, and its disk has room")
        try:
            await asyncio.to_thread(self._restart)
        except (OSError, subprocess.SubprocessError):
            _log.exception("nats_restart_failed")
        else:
            self._stuck = False
            self._read_log()  # skip the last lines of the old server
        self._restarted_at = self._clock()

    def _read_log(self) -> str:
        """Return the log's new text since the last call."""
        try:
            with self._log.open(errors="replace") as file:
                # A file shorter than the offset is new: the server rotated the full one.
                file.seek(self._offset if file.seek(0, os.SEEK_END) >= self._offset else 0)
                text = file.read()
                self._offset = file.tell()
        except FileNotFoundError:
            return ""
        return text

    def _has_room(self) -> bool:
        try:
            disk.require_room(self._folder)
        except OSError:
            return False
        return True


def restart_nats(supervisor_config: Path) -> None:
    """Restart the server through supervisord. Raises SubprocessError."""
    command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(supervisor_config), "restart", "nats"]
    subprocess.run(command, check=True, capture_output=True, timeout=_RESTART_TIMEOUT_SECONDS)
