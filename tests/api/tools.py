"""Programs that check the API description, installed apart by `make test-api`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imagegateway.platform import setting_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT: Final = Path(__file__).parents[2]
PYTHON: Final = ROOT / "build/api/bin"
"""Programs of `requirements.lock`."""
NODE: Final = Path(__file__).with_name("node") / "node_modules/.bin"
"""Programs of `node/package-lock.json`."""
_SECONDS: Final = 600.0
"""Longest run of a program. Schemathesis takes 95 s on a free machine."""


def run(
    command: Sequence[str | Path], folder: Path = ROOT, variables: Mapping[str, str] | None = None, text: str = ""
) -> str:
    """Run a program with a text as its input, and return its output.

    Raises AssertionError with the output of a program that fails.
    """
    inherited = setting_source.environment()
    node = Path(sys.executable).parent
    done = subprocess.run(
        command,
        cwd=folder,
        env={**inherited, "PATH": f"{node}:{inherited.get('PATH', '')}", **(variables or {})},
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout
