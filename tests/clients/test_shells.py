"""Completion scripts in the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import command
from tests.support.pseudo_terminal import session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_BASH = """
source {script}
COMP_WORDS=({words}) COMP_CWORD=$(({count} - 1))
$(complete -p imagegateway | sed -E 's/.*-F ([^ ]+).*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
_BEGIN_OF_LINE = "\x01"


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
def test_shell_offers_commands_options_and_choices(
    folder: Path, shell: str, complete: Callable[[Path, str], list[str]], line: str, offered: set[str]
) -> None:
    assert set(complete(folder / shell, line)) == offered


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("imagegateway sta", "imagegateway status"),
        ("imagegateway keys rev", "imagegateway keys revoke"),
        ("imagegateway keys list --rev", "imagegateway keys list --revoked"),
        ("imagegateway completion z", "imagegateway completion zsh"),
    ],
)
@pytest.mark.parametrize("sourced", [False, True])
def test_zsh_completes_commands_options_and_choices(folder: Path, sourced: bool, line: str, completed: str) -> None:
    functions = folder / "functions"
    functions.mkdir(exist_ok=True)
    shutil.copy(folder / "zsh", functions / "_imagegateway")
    start = "autoload -Uz compinit; compinit -D"
    if sourced:
        start += f"; source {folder / 'zsh'}"
    else:
        start = f"fpath+=({functions}); {start}"
    with session(["-f"], program="zsh", environment={"HOME": str(folder)}) as shell:
        shell.type(f"PS1='> '; {start}; echo re''ady\n")
        shell.expect("ready\r\n")
        shell.type(f"{line}\t{_BEGIN_OF_LINE}echo \n")
        shell.expect(f"\n{completed}\r\n")
