"""A program in a pseudo-terminal, as a user runs it: keys, screen size, and a terminal that answers queries."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.support.command import PROGRAM, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS: Final = 30.0
_ATTRIBUTES_QUERY: Final = b"\x1b[c"
_TAKE_TERMINAL: Final = 'exec "$@" <>"$0" >&0 2>&1'
"""A leader of a session that opens a terminal controls this terminal and receives its Ctrl-C."""


class Terminal:
    """A program with its terminal. `answer`: to the query of device attributes."""

    def __init__(self, process: subprocess.Popen[bytes], screen: int, answer: bytes) -> None:
        self.process = process
        self._screen = screen
        self._answer = answer
        self._output = b""
        self._answered = 0

    @property
    def output(self) -> str:
        """Everything on the screen so far, escape sequences included."""
        return self._output.decode()

    def press(self, keys: str) -> None:
        self._write(keys.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._write(b"\x03")

    def read_until(self, text: str) -> None:
        """Wait for a text on the screen. Fail after 30 s."""
        deadline = time.monotonic() + _SECONDS
        while text not in self.output:
            has_ended = self.process.poll() is not None
            assert self._read() or not (has_ended or time.monotonic() > deadline), f"no {text!r} in {self.output!r}"

    def wait(self) -> int:
        """Return the exit status of the program: negative for a signal."""
        deadline = time.monotonic() + _SECONDS
        while self.process.poll() is None:
            assert self._read() or time.monotonic() < deadline, f"no end after {self.output!r}"
        while self._read():
            pass
        return self.process.returncode

    def _read(self) -> bool:
        """Read what the program writes within 50 ms, and answer queries. Return False for nothing."""
        if not select.select([self._screen], [], [], 0.05)[0]:
            return False
        self._output += os.read(self._screen, 65536)
        while self._output.count(_ATTRIBUTES_QUERY) > self._answered:
            self._answered += 1
            self._write(self._answer)
        return True

    def _write(self, data: bytes) -> None:
        os.write(self._screen, data)


@contextmanager
def running(
    *arguments: str,
    answer: bytes = b"\x1b[?62c",
    columns: int = 80,
    rows: int = 30,
    variables: dict[str, str] | None = None,
    **values: str,
) -> Iterator[Terminal]:
    """Run `imagegateway` in a terminal of 24-bit colours. `values` are settings by name."""
    screen, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    wanted = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", **(variables or {})}
    process = subprocess.Popen(
        ["/bin/sh", "-c", _TAKE_TERMINAL, os.ttyname(side), PROGRAM, *arguments],
        env=environment(**values) | wanted,
        start_new_session=True,
    )
    try:
        yield Terminal(process, screen, answer)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(screen)
        os.close(side)
