"""Query of a terminal for its image protocol: answers of real terminals, over a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import select
import termios
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from imagegateway.cli.images import terminal_query
from imagegateway.cli.images.terminal_query import Protocol, TerminalGraphics

if TYPE_CHECKING:
    from collections.abc import Iterator

_KITTY = b"\x1b_Gi=31;OK\x1b\\\x1bP>|kitty(0.42.1)\x1b\\\x1b[6;20;10t\x1b[?62;52;c"
_ITERM2 = b"\x1bP>|iTerm2 3.5.11\x1b\\\x1b[6;17;8t\x1b[?64;1;2;4;6;17;18;21;22;52c"
_XTERM = b"\x1bP>|XTerm(390)\x1b\\\x1b[6;13;6t\x1b[?64;1;2;4;6;9;15;16;17;18;21;22;28c"
_TMUX = b"\x1bP>|tmux 3.4\x1b\\\x1b[?1;2;4c"
_GNOME = b"\x1bP>|VTE(7600)\x1b\\\x1b[6;18;9t\x1b[?61;1;21;22c"
_TERMINAL_APP = b"\x1b[?1;2c"
_LEVEL_FOUR = b"\x1b[?4c"


@pytest.mark.parametrize(
    ("answer", "graphics"),
    [
        pytest.param(_KITTY, TerminalGraphics(Protocol.KITTY, (10, 20)), id="kitty"),
        pytest.param(_ITERM2, TerminalGraphics(Protocol.ITERM2, (8, 17)), id="iTerm2"),
        pytest.param(_XTERM, TerminalGraphics(Protocol.SIXEL, (6, 13)), id="xterm"),
        pytest.param(_TMUX, TerminalGraphics(Protocol.SIXEL), id="tmux"),
        pytest.param(_GNOME, TerminalGraphics(Protocol.BLOCKS, (9, 18)), id="gnome"),
        pytest.param(_TERMINAL_APP, TerminalGraphics(), id="terminal-app"),
        pytest.param(_LEVEL_FOUR, TerminalGraphics(), id="level-is-no-attribute"),
        pytest.param(b"\x1b[6;0;0t\x1b[?4;4c", TerminalGraphics(Protocol.SIXEL), id="cell-of-no-size"),
        pytest.param(b"typed ahead\x1b[?62c", TerminalGraphics(), id="typed-ahead"),
        pytest.param(b"", TerminalGraphics(), id="silence"),
    ],
)
def test_answers_name_the_protocol(answer: bytes, graphics: TerminalGraphics) -> None:
    assert terminal_query.parse(answer) == graphics


@contextmanager
def terminal(answer: bytes) -> Iterator[tuple[int, int]]:
    """Yield both ends of a terminal that answers to the device attributes' question."""
    screen, program = pty.openpty()

    def respond() -> None:
        asked = b""
        while not asked.endswith(b"\x1b[c"):
            if not select.select([screen], [], [], 5)[0]:
                return
            asked += os.read(screen, 1024)
        os.write(screen, answer)

    thread = threading.Thread(target=respond)
    thread.start()
    try:
        yield screen, program
    finally:
        thread.join()
        os.close(screen)
        os.close(program)


def test_query_reads_the_answer_of_a_terminal_in_the_foreground(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "tcgetpgrp", lambda _descriptor: os.getpgrp())
    with terminal(_KITTY) as (screen, program):
        before = termios.tcgetattr(program)
        assert terminal_query.query(program) == TerminalGraphics(Protocol.KITTY, (10, 20))
        assert termios.tcgetattr(program) == before
        assert b"OK" not in os.read(screen, 1024), "the answer is not echoed"


def test_query_of_a_silent_terminal_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "tcgetpgrp", lambda _descriptor: os.getpgrp())
    with terminal(b"") as (_, program):
        assert terminal_query.query(program, seconds=0.05) == TerminalGraphics()


def test_background_process_asks_nothing() -> None:
    screen, program = pty.openpty()
    assert terminal_query.query(program) == TerminalGraphics()
    assert not select.select([screen], [], [], 0)[0]
    os.close(screen)
    os.close(program)


def test_file_is_no_terminal() -> None:
    with Path(os.devnull).open() as file:
        assert terminal_query.query(file.fileno()) == TerminalGraphics()
