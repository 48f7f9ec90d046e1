"""Pages with code: the snippets run as printed, and print the outputs that the page shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from imagegateway.platform import setting_source

from tests.docs import snippets
from tests.support.stack import free_port

if TYPE_CHECKING:
    from tests.support.stack import Stack

_ROOT: Final = Path(__file__).parents[2]
_PAGES: Final = [path for path in sorted((_ROOT / "docs").rglob("*.md")) if snippets.read(path).snippets]
_PYTHON_LOCK: Final = _ROOT / "tests/clients/requirements.lock"
_NODE: Final = _ROOT / "tests/clients/node"
_PATH: Final = (_ROOT / "build/clients/bin", Path(sys.executable).parent)
"""Folders of the clients' Python, and of Node and buf."""
_COMMANDS: Final = {
    "sh": ("bash", "-euo", "pipefail", "snippets.sh"),
    "python": ("python", "snippets.py"),
    "js": ("node", "snippets.mjs"),
}
_SECONDS: Final = 60
_GATEWAY: Final = "127.0.0.1:8080"
_RECEIVER_PORT: Final = "9000"
_KEY: Final = "<your key>"


@pytest.mark.parametrize("path", _PAGES, ids=lambda path: path.stem)
def test_page_runs_as_printed(path: Path, gateway: Stack, tmp_path: Path) -> None:
    page = snippets.read(path)
    here = {_GATEWAY: gateway.address, _RECEIVER_PORT: str(free_port()), _KEY: gateway.key}
    (tmp_path / "node_modules").symlink_to(_NODE / "node_modules")
    (tmp_path / "deploy").symlink_to(_ROOT / "deploy")
    for name, text in page.files.items():
        (tmp_path / name).write_text(_replaced(text, here))
    for language, blocks in page.snippets.items():
        printed = _run(language, _replaced(snippets.program(language, blocks), here), tmp_path, gateway)
        shown = snippets.outputs(_replaced(printed, {real: written for written, real in here.items()}))
        for block, output in zip(blocks, shown, strict=True):
            assert block.matches(output), f"{block.code}\nprints\n{output}\nnot\n{block.output}"


@pytest.mark.parametrize("path", _PAGES, ids=lambda path: path.stem)
def test_installed_packages_are_locked(path: Path) -> None:
    python = set(re.findall(r"^([a-z0-9.-]+)==", _PYTHON_LOCK.read_text(), re.MULTILINE))
    node = json.loads((_NODE / "package.json").read_text())["dependencies"].keys()
    assert snippets.read(path).packages <= python | node


def _replaced(text: str, replacements: dict[str, str]) -> str:
    for old, new in replacements.items():
        text = text.replace(old, new)
    return text


def _run(language: str, code: str, folder: Path, gateway: Stack) -> str:
    """Run a program in a folder and return its output. Raise AssertionError with all it wrote if it fails."""
    command = _COMMANDS[language]
    (folder / command[-1]).write_text(code)
    inherited = setting_source.environment()
    done = subprocess.run(
        ("timeout", str(_SECONDS), *command),  # ends the program's own processes, too
        cwd=folder,
        env={
            **inherited,
            "PATH": ":".join([*map(str, _PATH), inherited["PATH"]]),
            "IMAGEGATEWAY_KEY": gateway.key,
            "IMAGEGATEWAY_URL": gateway.url,  # for the command line
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no download
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
