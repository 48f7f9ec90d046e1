"""Process manager of the stack: supervisord as a child process, with detection of processes that keep crashing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from imagegateway.stack import process_manager
from imagegateway.stack.errors import StackError
from imagegateway.stack.forked import ForkedProcess

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

CONFIG: Final = "supervisord.conf"
_EXITED: Final = re.compile(r" exited: (\S+) \(exit status (?!0;)")
"""A crash in supervisord's log. Status 0 is an orderly exit after SIGTERM from outside."""
_STOP_SECONDS: Final = 90.0
_CRASHES: Final = 4
_CRASH_SECONDS: Final = 60.0
"""A process that crashes `_CRASHES` times within this time can't be kept running."""


@dataclass(slots=True)
class Supervisor:
    """The running supervisord."""

    process: ForkedProcess
    log: Path
    _offset: int = 0
    """Bytes of the log that have been read."""
    _crashes: dict[str, list[float]] = field(default_factory=dict)
    """Times of each process's crashes, monotonic seconds."""

    @classmethod
    def spawn(cls, run_dir: Path, environment: Mapping[str, str], output: int) -> Supervisor:
        """Start supervisord with the configuration in `run_dir`; `environment`: further variables of all processes.

        `output` is the file descriptor for what all processes write.
        """
        log = run_dir / "supervisord.log"
        log.unlink(missing_ok=True)
        run = partial(process_manager.run, run_dir / CONFIG, output, environment, os.getpid())
        return cls(ForkedProcess(run), log)

    def check(self) -> None:
        """Raise StackError if supervisord ended, or if a process can't be kept running.

        Killed processes are restarted without limit; only crashes count. Only supervisord's log distinguishes the
        two: its RPC interface does not report how a process ended.
        """
        status = self.process.poll()
        if status is not None:
            raise StackError(f"the process manager ended with status {status}")
        self._read_log()
        self._fail(
            name
            for name, times in self._crashes.items()
            if len(times) >= _CRASHES and times[-1] - times[-_CRASHES] < _CRASH_SECONDS
        )

    def check_no_recent_crash(self) -> None:
        """Raise StackError if a process crashed within the last 60 s."""
        self._read_log()
        now = time.monotonic()
        self._fail(name for name, times in self._crashes.items() if now - times[-1] < _CRASH_SECONDS)

    def stop(self) -> None:
        """Stop all processes in order. Kill supervisord after 90 s."""
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(_STOP_SECONDS) is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def _read_log(self) -> None:
        with contextlib.suppress(FileNotFoundError), self.log.open() as file:
            # A file shorter than the offset is new: supervisord rotated the full one.
            file.seek(self._offset if file.seek(0, os.SEEK_END) >= self._offset else 0)
            for name in _EXITED.findall(file.read()):
                self._crashes.setdefault(name, []).append(time.monotonic())
            self._offset = file.tell()

    @staticmethod
    def _fail(names: Iterable[str]) -> None:
        if listed := ", ".join(names):
            raise StackError(f"{listed} can't be kept running; the cause is in the log above")
