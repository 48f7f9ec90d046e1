"""Output of commands: hostile texts, and a reader that has seen enough."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from imagegateway.cli import main, terminal, validate
from imagegateway.stack.log_relay import FILE

from tests.support import command
from tests.support.pseudo_terminal import session

if TYPE_CHECKING:
    from pathlib import Path

_STYLE = re.compile(r"\x1b\[[\d;]*m")
HOSTILE = "a\x1b[2J\x9b31m\u202eb"


def test_output_without_a_reader_ends_the_command_silently(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def print_one() -> None:
        print("a line")

    monkeypatch.setattr(validate.app, "default_command", print_one)
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert main(["validate"]) == 1
    assert capfd.readouterr().err == ""


@pytest.mark.processes
@pytest.mark.parametrize(
    ("redirection", "message"),
    [(">&-", ""), ("> /dev/full", "imagegateway: No space left on device\n"), ("| true", "")],
)
def test_output_that_takes_nothing_causes_no_traceback(tmp_path: Path, redirection: str, message: str) -> None:
    log = tmp_path / "run" / FILE
    log.parent.mkdir()
    log.write_text("a line longer than the buffers of a pipe\n" * 5000)
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command.PROGRAM} logs --lines 5000 {redirection}"],
        env=command.environment(data_dir=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0 if redirection == ">&-" else 1, "", message)


@pytest.mark.processes
def test_help_in_a_narrow_terminal_without_unicode_is_ascii() -> None:
    with session(["keys", "rotate", "--help"], columns=40, environment={"PYTHONIOENCODING": "ascii"}) as narrow:
        assert narrow.wait() == 0
    assert narrow.output.isascii()
    assert all(len(_STYLE.sub("", line)) <= 40 for line in narrow.output.splitlines())
    assert "--overlap" in narrow.output


class _Terminal(io.StringIO):
    """Standard output that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def test_table_fits_the_terminal_and_loses_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    output = _Terminal()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    terminal.print_table(("id", "name"), [("job_1", "x" * 50), ("job_2", HOSTILE), ("job_3", "[red]markup")])
    shown = _STYLE.sub("", output.getvalue())
    assert all(len(line) <= 30 and line.isprintable() for line in shown.splitlines())
    assert shown.count("x") == 50 + HOSTILE.count("x") + r"\x1b\x9b".count("x")
    assert "[red]markup" in shown


def test_table_without_room_loses_its_empty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns, header in ((80, "ID EMPTY NAME"), (12, "ID NAME")):
        output = _Terminal()
        monkeypatch.setattr(sys, "stdout", output)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        terminal.print_table(("id", "empty", "name"), [("1", "", "a"), ("2", "", "b")])
        assert _STYLE.sub("", output.getvalue()).splitlines()[0].split() == header.split()


def test_json_holds_no_control_character_and_the_same_value(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_document({"text": HOSTILE, "name": "Zürich"})
    shown = capsys.readouterr().out
    assert shown.replace("\n", "").isprintable()
    assert "Zürich" in shown
    assert json.loads(shown) == {"text": HOSTILE, "name": "Zürich"}


def test_table_shows_control_characters_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_table(("id", "name"), [("1", HOSTILE), ("2", "")])
    assert capsys.readouterr().out.splitlines() == [
        "ID  NAME",
        r"1   a\x1b[2J\x9b31m\u202eb",
        "2   -",
    ]


def test_narrow_terminal_folds_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    for name, value in {"COLUMNS": "60", "TERM": "xterm", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    job_id = "job_01JQZX5T9R8F3K2QAB7C6D5E4F"
    terminal.print_table(("id", "model", "prompt"), [(job_id, "bfl/flux-2-pro", "a red fox in snow at night")])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()).splitlines()
    assert job_id in lines[1]
    assert max(map(len, lines)) <= 60
