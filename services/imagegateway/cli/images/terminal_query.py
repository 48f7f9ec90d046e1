"""Query of a terminal: which image protocol the terminal has, and how large its character cells are.

The answer comes from the terminal itself, so that SSH, tmux and changed variables do not mislead. Every terminal
answers the last question (primary device attributes), which ends the wait.
"""

from __future__ import annotations

import os
import re
import select
import termios
import time
import tty
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS: Final = 1.0
"""Longest wait for the answers."""
_KITTY_QUERY: Final = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
_VERSION_QUERY: Final = b"\x1b[>q"
_CELL_QUERY: Final = b"\x1b[16t"
_ATTRIBUTES_QUERY: Final = b"\x1b[c"
_CLEAR_LINE: Final = b"\r\x1b[2K"
"""Some terminals print the start of a sequence that they do not know."""
_KITTY: Final = re.compile(rb"\x1b_Gi=31;OK\x1b\\")
_VERSION: Final = re.compile(rb"\x1bP>\|([^\x1b]*)\x1b\\")
_CELL: Final = re.compile(rb"\x1b\[6;(\d{1,4});(\d{1,4})t")
_ATTRIBUTES: Final = re.compile(rb"\x1b\[\?([\d;]*)c")
_SIXEL: Final = b"4"
"""Device attribute of terminals with sixel graphics."""


class Protocol(StrEnum):
    """Ways to show an image in a terminal."""

    KITTY = "kitty"
    ITERM2 = "iterm2"
    SIXEL = "sixel"
    BLOCKS = "blocks"


@dataclass(frozen=True, slots=True)
class TerminalGraphics:
    """Graphics of a terminal."""

    protocol: Protocol = Protocol.BLOCKS
    cell: tuple[int, int] | None = None
    """Width and height of a character cell in pixels. None: unknown."""


def query(descriptor: int, seconds: float = _SECONDS) -> TerminalGraphics:
    """Ask the terminal behind a descriptor. Without an answer, and in the background, half blocks remain.

    The cursor must be at the start of an empty line.
    """
    try:
        if os.tcgetpgrp(descriptor) != os.getpgrp():  # a background process that changes the terminal is stopped
            return TerminalGraphics()
        with _unbuffered(descriptor):
            os.write(descriptor, _KITTY_QUERY + _VERSION_QUERY + _CELL_QUERY + _ATTRIBUTES_QUERY)
            answer = _answer(descriptor, seconds)
            os.write(descriptor, _CLEAR_LINE)
    except (OSError, termios.error):
        return TerminalGraphics()
    return parse(answer)


def parse(answer: bytes) -> TerminalGraphics:
    """Return what the answers to the queries say."""
    found = _CELL.search(answer)
    cell = (int(found[2]), int(found[1])) if found else None
    if cell is not None and not all(cell):
        cell = None
    version = _VERSION.search(answer)
    attributes = _ATTRIBUTES.search(answer)
    if _KITTY.search(answer):
        return TerminalGraphics(Protocol.KITTY, cell)
    if version and version[1].startswith(b"iTerm2"):
        return TerminalGraphics(Protocol.ITERM2, cell)
    if attributes and _SIXEL in attributes[1].split(b";")[1:]:
        return TerminalGraphics(Protocol.SIXEL, cell)
    return TerminalGraphics(Protocol.BLOCKS, cell)


@contextmanager
def _unbuffered(descriptor: int) -> Iterator[None]:
    """Let the terminal pass on each byte at once, without an echo."""
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _answer(descriptor: int, seconds: float) -> bytes:
    """Return what the terminal sends up to the device attributes, or within `seconds`."""
    answer = b""
    deadline = time.monotonic() + seconds
    while not _ATTRIBUTES.search(answer):
        ready, _, _ = select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))
        if not ready or not (piece := os.read(descriptor, 1024)):
            break
        answer += piece
    return answer
