"""Output of commands: hostile texts, and a reader that has seen enough."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from imagegateway.cli import main, terminal, validate

if TYPE_CHECKING:
    import pytest

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
