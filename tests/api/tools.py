"""Programs that check the API description, installed apart by `make test-api`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.support import programs

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
    """Run a program as `programs.run` does, in the project's folder by default."""
    return programs.run(command, folder, variables, text=text, seconds=_SECONDS)
