"""The documentation site: its menu and its pages."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path("docs")
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
"""Target of a link in Markdown that leads to a file, without its anchor."""


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


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "bench/README.md", "packaging/client/README.md"]
)
def test_links_outside_the_site_lead_to_files(page: str) -> None:
    broken = [target for target in LINK.findall(Path(page).read_text()) if not (Path(page).parent / target).exists()]
    assert broken == []
