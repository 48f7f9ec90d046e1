"""The command `imagegateway`, or another program, in a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support import command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

_SECONDS = 60.0
_QUERY = "\x1b[c"


@dataclass(slots=True)
class Session:
    """A process whose standard streams are a terminal."""

    process: subprocess.Popen[bytes]
    master: int
    answer: bytes = b""
    """The terminal's answer to the query of device attributes. Empty: none."""
    output: str = ""
    """All that the terminal has received."""
    _read: int = field(default=0, init=False)
    """Characters of the output that `expect` has passed."""
    _answered: int = field(default=0, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)

    def expect(self, text: str, seconds: float = _SECONDS) -> None:
        """Wait until the terminal shows a text after the last expected one."""
        for _ in self._chunks(seconds):
            if (found := self.output.find(text, self._read)) >= 0:
                self._read = found + len(text)
                return
        raise AssertionError(f"{text!r} is missing in {self.output!r}")

    def type(self, text: str) -> None:
        """Type a text."""
        os.write(self.master, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.type("\x03")

    def wait(self, seconds: float = _SECONDS) -> int:
        """Read the output to its end. Return the exit status."""
        for _ in self._chunks(seconds):
            pass
        return self.process.wait(seconds)

    def _chunks(self, seconds: float) -> Iterator[None]:
        """Read output within the time, until the process closes the terminal."""
        deadline = time.monotonic() + seconds
        yield
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.master], [], [], left)[0]:
                break
            with suppress(OSError):  # Linux reports a closed terminal so
                if chunk := os.read(self.master, 65536):
                    self.output += chunk.decode(errors="replace")
                    self._answer_queries()
                    yield
                    continue
            return
        raise AssertionError(f"no end within {seconds:g} s: {self.output!r}")

    def _answer_queries(self) -> None:
        while self.answer and self.output.count(_QUERY) > self._answered:
            self._answered += 1
            os.write(self.master, self.answer)


def session(
    arguments: Sequence[str],
    *,
    program: str | Path = command.PROGRAM,
    columns: int = 80,
    rows: int = 24,
    answer: bytes = b"",
    environment: Mapping[str, str] | None = None,
    **values: str,
) -> Session:
    """Start a command in a terminal; `values` are settings by name, `environment` further variables."""
    inherited = command.environment(**values)
    for name in ("COLUMNS", "LINES"):  # they overrule the terminal's size
        inherited.pop(name, None)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    try:
        process = subprocess.Popen(
            # A hook before the exec would be unsafe beside threads. A shell's background jobs ignore Ctrl-C.
            ["env", "--default-signal=INT", "setsid", "--ctty", program, *arguments],
            env={**inherited, "TERM": "xterm-256color", **(environment or {})},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
    finally:
        os.close(slave)
    return Session(process, master, answer)
