"""Distribution of tests to workers: files that share a stack stay with one worker, since a start is expensive."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # ships no types

_ROOT: Final = Path(__file__).parents[2]
_START: Final = re.compile(r"(?<![.\w])(?<!def )(running|restartable_stack|start)\(")
"""Call that starts a stack."""
_SHARED: Final = "tests/gateway"
"""Unit of the shared stack."""


def needs_stack(file: str) -> bool:
    """Return True for a file of tests of whole stacks. `file` is relative to the project."""
    return file.startswith("tests/gateway/")


def _starts_stack(file: Path) -> bool:
    return file.is_file() and bool(_START.search(file.read_text()))


@cache
def unit_of(file: str) -> str:
    """Return the unit of work of a file: its folder where this has a stack, else the file itself.

    Files that start no stack use the one of `tests/conftest.py`: together, whatever their folder.
    """
    folder = file.rpartition("/")[0]
    if not needs_stack(file):
        return file
    if _starts_stack(_ROOT / folder / "conftest.py"):
        return folder
    return file if _starts_stack(_ROOT / file) else _SHARED


class StackScheduling(LoadFileScheduling):  # type: ignore[misc]  # its base class has no types
    """Scheduling by file, or by stack for files that share one."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid.split("::", 1)[0])
