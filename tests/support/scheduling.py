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


def needs_stack(file: str) -> bool:
    """Return True for a file of tests of whole stacks. `file` is relative to the project."""
    return file.startswith("tests/gateway/")


@cache
def unit_of(file: str) -> str:
    """Return the unit of work of a file: its folder where the files share a stack, else the file itself."""
    if not needs_stack(file) or _START.search((_ROOT / file).read_text()):
        return file
    return file.rpartition("/")[0]


class StackScheduling(LoadFileScheduling):  # type: ignore[misc]  # its base class has no types
    """Scheduling by file, or by folder for files that share a stack."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid.split("::", 1)[0])
