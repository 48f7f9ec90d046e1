"""Output of commands: a reader that has seen enough, such as `head`, causes no traceback."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from imagegateway.cli import main, validate

if TYPE_CHECKING:
    import argparse

    import pytest


def _print(_options: argparse.Namespace) -> int:
    print("a line")
    return 0


def test_output_without_a_reader_ends_the_command_silently(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    monkeypatch.setattr(validate, "add", lambda commands: commands.add_parser("validate").set_defaults(run=_print))
    with os.fdopen(write_end, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert main(["validate"]) == 1
    assert capfd.readouterr().err == ""
