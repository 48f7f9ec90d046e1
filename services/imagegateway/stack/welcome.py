"""Text that a start prints when the gateway is ready: addresses, key and first calls."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

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
        f'  curl -s {url}/v1/images/generations -H "Authorization: Bearer {shown}" \\',
        "    -H 'Content-Type: application/json' \\",
        """    -d '{"model": "local/sketch", "prompt": "a lighthouse at dusk", "size": "1024x1024"}'""",
        "",
        "Ctrl-C stops everything.",
    ]
    return "\n".join(lines)
