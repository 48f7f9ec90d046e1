"""Output of all processes: as JSON lines in a file of the data directory, and on the standard output of `up`.

The processes write into one pipe. A terminal gets lines for readers, and none below a warning before the gateway is
ready: `imagegateway logs` shows them, and a start that fails does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import threading
from typing import TYPE_CHECKING, Final

from imagegateway.platform import log_lines, setting_source
from imagegateway.platform.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

    from imagegateway.platform.settings import Settings

FILE: Final = "gateway.log"
"""Name of the file in the folder `run`. The file before the last rotation has the suffix `.1`."""
_CHUNK: Final = 65_536
_PIPE_BYTES: Final = 1 << 20
"""Size of the pipe. Long lines of several processes could mix only in a full one."""
_END_SECONDS: Final = 5.0
_LOUD: Final = frozenset({"warning", "error", "critical"})


class LogRelay:
    """Relay of log lines. `max_bytes`: size at which the file is rotated."""

    def __init__(self, settings: Settings, max_bytes: int = 16 << 20) -> None:
        self._path = settings.run_dir / FILE
        self._max_bytes = max_bytes
        self._pretty = settings.log_format.is_pretty()
        self._colors = setting_source.colors()
        self._withheld: list[str] | None = [] if self._pretty else None
        self._lock = threading.Lock()
        self._file = _open(self._path)
        self._read_end, self.write_end = os.pipe()
        fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        """End of the pipe for the process manager."""
        self._thread = threading.Thread(target=self._run, name="log relay", daemon=True)

    def start(self) -> None:
        """Begin to relay, once the process manager has its end of the pipe: a fork knows no threads."""
        os.close(self.write_end)
        self._thread.start()
        if self._pretty:
            _show(b"imagegateway: starting\n")

    def write(self, text: str) -> None:
        """Relay whole lines of this process."""
        self._relay(text.encode(errors="replace"))

    def flush(self) -> None:
        """Do nothing: lines are written at once."""

    def announce(self, text: str) -> None:
        """Show a text on the standard output, not in the file: it may hold a key. Drop withheld lines."""
        with self._lock:
            self._withheld = None
            print(text, flush=True)

    def reveal(self) -> None:
        """Show the withheld lines, which may hold the cause of a failure."""
        with self._lock:
            lines, self._withheld = self._withheld or [], None
            _show("".join(lines).encode(errors="backslashreplace"))

    def end(self) -> None:
        """Relay what the ended processes have written."""
        self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        rest = b""
        while chunk := os.read(self._read_end, _CHUNK):
            lines, mark, rest = (rest + chunk).rpartition(b"\n")
            if mark:
                self._relay(lines + mark)
        if rest:
            self._relay(rest + b"\n")
        os.close(self._read_end)

    def _relay(self, lines: bytes) -> None:
        if not lines:
            return
        with self._lock:
            with contextlib.suppress(OSError):  # a full disk stops the file, not the gateway
                os.write(self._file, lines)
                self._rotate()
            if self._pretty:
                for line in lines.decode(errors="replace").splitlines():
                    self._show_for_reader(line)
            else:
                _show(lines)

    def _show_for_reader(self, line: str) -> None:
        event = log_lines.parse(line)
        text = (log_lines.render(event, colors=self._colors) if event else printable(line)) + "\n"
        if self._withheld is not None and event and event.get("level") not in _LOUD:
            self._withheld.append(text)
        else:
            _show(text.encode(errors="backslashreplace"))

    def _rotate(self) -> None:
        if os.fstat(self._file).st_size >= self._max_bytes:
            self._path.replace(self._path.with_name(f"{FILE}.1"))
            full, self._file = self._file, _open(self._path)
            os.close(full)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _show(data: bytes) -> None:
    """Write to the standard output. A closed output is ignored: the gateway goes on."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        while data:
            data = data[os.write(sys.stdout.fileno(), data) :]
