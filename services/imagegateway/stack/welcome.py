"""Text that a start prints when the gateway is ready: addresses, key and first calls."""

from __future__ import annotations

import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagegateway.stack.example_key import ExampleKey


def welcome(url: str, key: ExampleKey | None, image: Path | None, seconds: float) -> str:
    """Return the text for a gateway at `url` that took `seconds` to start."""
    lines = [
        f"imagegateway is ready after {seconds:.1f} s at {url} ({datetime.now(UTC):%Y-%m-%d %H:%M} UTC)",
        "",
        # The fragment stays in the browser. A key of the operator's stays out of the terminal, too.
        f"  web page     {url}/#key={key.secret}" if key and key.generated else f"  web page     {url}/",
    ]
    if image:
        lines.append(f"  first image  {image}")
    if key:
        lines += [f"  key          {key.shown}", f"               ({key.note})"]
    else:
        lines.append("  keys         create one with `imagegateway keys create --tenant NAME`")
    shown = key.shown if key else "KEY"
    lines += [
        "",
        "Try it:",
        "",
        *([f'  {_program()} generate "a lighthouse at dusk" --model local/sketch', ""] if key else []),
        f'  curl -s {url}/v1/images/generations -H "Authorization: Bearer {shown}" \\',
        "    -H 'Content-Type: application/json' \\",
        """    -d '{"model": "local/sketch", "prompt": "a lighthouse at dusk", "size": "1024x1024"}'""",
        "",
        "Ctrl-C stops everything.",
    ]
    return "\n".join(lines)


def _program() -> str:
    """Return the command as this user's shell finds it: its name, else its path."""
    path = Path(sys.executable).with_name("imagegateway")
    return "imagegateway" if shutil.which("imagegateway") or not path.exists() else os.path.relpath(path)
