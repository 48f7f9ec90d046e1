"""OpenAI's Node SDK: the locked package, and the Node that runs it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

from imagegateway.platform import setting_source

FOLDER: Final = Path(__file__).parents[1] / "gateway" / "node"
"""Folder of the SDK's package files, and of its tests."""
BIN: Final = Path(sys.executable).parent


def environment() -> dict[str, str]:
    """Install the locked packages if needed. Return an environment with this Node first on PATH."""
    values = setting_source.environment()
    values["PATH"] = f"{BIN}:{values.get('PATH', '')}"
    stamp = FOLDER / "node_modules" / ".installed"
    wanted = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        done = subprocess.run(
            [BIN / "npm", "ci", "--ignore-scripts"],
            cwd=FOLDER,
            env=values,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        stamp.write_text(wanted)
    return values
