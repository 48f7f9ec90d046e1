"""OpenAI's Node SDK: the locked package, and the Node that runs it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from tests.support import programs

FOLDER: Final = Path(__file__).parents[1] / "gateway" / "node"
"""Folder of the SDK's package files, and of its tests."""


def environment() -> dict[str, str]:
    """Install the locked packages if needed. Return an environment with this Node first on PATH."""
    stamp = FOLDER / "node_modules" / ".installed"
    wanted = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        programs.run([programs.NODE_BIN / "npm", "ci", "--ignore-scripts"], FOLDER)
        stamp.write_text(wanted)
    return programs.environment()
