"""Recovery of the stack's NATS server: after one failed write, a stream takes no others until the server restarts."""

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
"""What the server's log says of a stream, or of all, that takes no writes any more."""
AGAIN_SECONDS: Final = 30.0
"""Shortest time between two restarts, for a disk that goes on failing."""
_RESTART_SECONDS: Final = 30.0
_log = logs.get(__name__)


class NatsWatch:
    """Follows the server's log, and restarts it once its disk has room again.

    `folder` is on the server's disk; `clock` gives monotonic seconds.
    """

    def __init__(
        self, log: Path, folder: Path, restart: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._folder = folder
        self._restart = restart
        self._clock = clock
        self._read = log.stat().st_size if log.exists() else 0
        self._restarted: float | None = None
        self._stuck = False

    async def look(self) -> None:
        """Restart the server when it is stuck and its disk has room."""
        if _STUCK.search(self._news()) and not self._stuck:
            self._stuck = True
            _log.error("nats_takes_no_writes", log=str(self._log))
        if not self._stuck or not self._has_room():
            return
        if self._restarted is not None and self._clock() - self._restarted < AGAIN_SECONDS:
            return
        _log.warning("nats_restart", reason="it refused writes, and its disk has room")
        try:
            await asyncio.to_thread(self._restart)
        except (OSError, subprocess.SubprocessError):
            _log.exception("nats_restart_failed")
        else:
            self._stuck = False
            self._news()  # the last words of the server that ended
        self._restarted = self._clock()

    def _news(self) -> str:
        """Return what the log has got since the last look."""
        try:
            with self._log.open(errors="replace") as file:
                # A shorter one is new: the old one was full.
                file.seek(self._read if file.seek(0, os.SEEK_END) >= self._read else 0)
                text = file.read()
                self._read = file.tell()
        except FileNotFoundError:
            return ""
        return text

    def _has_room(self) -> bool:
        try:
            disk.require_room(self._folder)
        except OSError:
            return False
        return True


def restart_by(supervisor_config: Path) -> None:
    """Restart the server by the stack's process manager. Raises SubprocessError."""
    command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(supervisor_config), "restart", "nats"]
    subprocess.run(command, check=True, capture_output=True, timeout=_RESTART_SECONDS)
