"""Imports of libraries that load further packages wherever those are installed."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Make the imports of this block behave as if these packages were not installed: they cost memory and time."""
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]  # None refuses an import
    before = {name: modules[name] for name in names if name in modules}
    modules.update(dict.fromkeys(names))
    try:
        yield
    finally:
        for name in names:
            del modules[name]
        modules.update(before)
