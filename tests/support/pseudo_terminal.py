"""The command `imagegateway` in a real pseudo-terminal."""

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
    from types import TracebackType
    from typing import Self

_SECONDS = 60.0


@dataclass(slots=True)
class Session:
    """A process whose standard streams are a terminal."""

    process: subprocess.Popen[bytes]
    master: int
    output: str = ""
    """All that the terminal has received."""
    _read: int = field(default=0, init=False)
    """Characters of the output that `expect` has passed."""

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
                    yield
                    continue
            return
        raise AssertionError(f"no end within {seconds:g} s: {self.output!r}")


def session(
    arguments: Sequence[str], *, columns: int = 80, environment: Mapping[str, str] | None = None, **values: str
) -> Session:
    """Start a command in a terminal; `values` are settings by name, `environment` further variables."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    try:
        process = subprocess.Popen(
            [command.PROGRAM, *arguments],
            env={**command.environment(**values), "TERM": "xterm-256color", **(environment or {})},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  no threads run here
        )
    finally:
        os.close(slave)
    return Session(process, master)
