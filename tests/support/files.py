"""Files of a running stack, which may vanish while a test reads them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def holding(folder: Path, *texts: str | bytes) -> list[Path]:
    """Return the files below a folder that contain one of the texts."""
    needles = [text.encode() if isinstance(text, str) else text for text in texts]
    found = []
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file() and any(needle in path.read_bytes() for needle in needles):
                found.append(path)
    return found
