"""Completion scripts in the shells themselves. fish and zsh are tested where they are installed."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_BASH = """
source {script}
COMP_WORDS=({words}) COMP_CWORD=$(({count} - 1))
$(complete -p imagegateway | sed -E 's/.*-F ([^ ]+).*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def _by_bash(script: Path, line: str) -> list[str]:
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    text = _BASH.format(script=script, words=quoted, count=len(words))
    return _lines(script.parent, "bash", "--norc", "-c", text)


def _by_fish(script: Path, line: str) -> list[str]:
    text = f"source {script}; complete --do-complete '{line}'"
    return [entry.partition("\t")[0] for entry in _lines(script.parent, "fish", "--no-config", "-c", text)]


def _lines(folder: Path, *arguments: str) -> list[str]:
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True, cwd=empty)
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the script of each shell."""
    made = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh", "fish"):
        done = command.run("completion", shell)
        assert done.returncode == 0
        (made / shell).write_text(done.stdout)
    return made


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("imagegateway sta", {"status"}),
        ("imagegateway keys r", {"rotate", "revoke"}),
        ("imagegateway keys rotate --ov", {"--overlap"}),
        ("imagegateway completion ", {"bash", "zsh", "fish"}),
    ],
)
@pytest.mark.parametrize(("shell", "complete"), [("bash", _by_bash), ("fish", _by_fish)])
def test_shell_completes_commands_options_and_choices(
    folder: Path, shell: str, complete: Callable[[Path, str], list[str]], line: str, offered: set[str]
) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    assert set(complete(folder / shell, line)) == offered


def test_script_of_zsh_has_valid_syntax(folder: Path) -> None:
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    subprocess.run(["zsh", "-n", folder / "zsh"], timeout=60, check=True)


def test_unknown_shell_is_refused() -> None:
    assert command.run("completion", "csh").returncode == 2
