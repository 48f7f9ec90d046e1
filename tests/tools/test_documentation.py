"""The documentation site: its menu and its pages."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path("docs")


def pages(menu: object) -> Iterator[str]:
    """Yield the pages of a menu, from all levels."""
    match menu:
        case str():
            yield menu
        case list():
            for entry in menu:
                yield from pages(entry)
        case dict():
            for entry in menu.values():
                yield from pages(entry)


def test_every_page_but_single_decisions_is_in_the_menu_once() -> None:
    listed = sorted(pages(tomllib.loads(Path("zensical.toml").read_text())["project"]["nav"]))
    existing = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert listed == sorted(name for name in existing if not name.startswith("decisions/0"))
