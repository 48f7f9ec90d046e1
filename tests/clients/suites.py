"""Test suites of clients: the clients' Python, and the gateway that a suite calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
HERE: Final = Path(__file__).parent
PYTHON: Final = ROOT / "build/clients/bin/python"
"""Python with the installed clients, created by `make test-clients`."""


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
