"""Code blocks of documentation pages, and programs made of them.

A fenced block in `sh`, `python` or `js` is a snippet. The snippets of a page in one language are one program, as a
reader pastes one after the other. The block `output` after a snippet is the snippet's whole output, in which `…`
matches any text. A block with a `title` is a file of this name. Blocks in other languages, such as `text` or `yaml`,
are not run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_FENCED: Final = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
_INSTALL: Final = re.compile(r"(?:pip|npm) install (.+)")
_MARK: Final = "-- end of snippet --"
_PRINT_MARK: Final = {
    "sh": f"echo '{_MARK}'",
    "python": f"print({_MARK!r}, flush=True)",
    "js": f"console.log({_MARK!r});",
}
"""Statement by language that separates the outputs of a program's snippets."""


@dataclass(slots=True)
class Snippet:
    """One code block with its expected output; without one, any output is right."""

    code: str
    output: str = "…"

    def matches(self, printed: str) -> bool:
        """Return True if the printed text is the expected output."""
        pattern = ".*".join(map(re.escape, self.output.strip().split("…")))
        return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


@dataclass(slots=True)
class Page:
    """The code of a page."""

    snippets: dict[str, list[Snippet]] = field(default_factory=dict)
    """By language, in order of the page."""
    files: dict[str, str] = field(default_factory=dict)
    """Contents by name."""
    packages: set[str] = field(default_factory=set)
    """Names of packages that the reader installs."""


def read(path: Path) -> Page:
    """Return the code of a page. Raise ValueError for an output that follows no snippet."""
    page = Page()
    previous: Snippet | None = None
    for language, title, text in _FENCED.findall(path.read_text()):
        install = _INSTALL.fullmatch(text.strip())
        if language == "output":
            if previous is None:
                raise ValueError(f"{path}: output without a snippet: {text}")
            previous.output, previous = text, None
        elif title:
            page.files[title] = text
        elif install:
            page.packages |= set(install[1].split())
        elif language in _PRINT_MARK:
            previous = Snippet(text)
            page.snippets.setdefault(language, []).append(previous)
        else:
            previous = None
    return page


def program(language: str, snippets: list[Snippet]) -> str:
    """Return the snippets as one program that marks the end of each output."""
    return "\n".join(f"{snippet.code}\n{_PRINT_MARK[language]}" for snippet in snippets)


def outputs(printed: str) -> list[str]:
    """Return the output of each snippet of a program that has ended well."""
    return printed.split(f"{_MARK}\n")[:-1]
