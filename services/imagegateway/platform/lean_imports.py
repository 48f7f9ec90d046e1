"""Imports of packages without others that they load only where these are installed."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """Hide packages from imports within the context. A package that is loaded already stays visible."""
    modules = cast("dict[str, object]", sys.modules)
    hidden = [name for name in packages if name not in modules]
    modules.update(dict.fromkeys(hidden))  # an entry None makes the import fail
    try:
        yield
    finally:
        for name in hidden:
            del modules[name]
