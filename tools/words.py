"""Check of the language rule: list phrases that tools/words.toml rules out.

Usage: `python -m tools.words [PATH…]`; without paths, the whole tree. Prints `file:line: phrase → replacement` and a
count per folder. Exits with status 1 if any phrase is found.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PHRASES: Final = Path(__file__).with_name("words.toml")
_SKIPPED: Final = (
    *("generated/*", "*.lock", "*package-lock.json", "LICENSE", "*/LICENSE.*", "*/redoc.js", "tests/cases/*"),
    *("tools/words.toml", "tests/*/test_words.py"),
)
"""Generated files, texts by others, the contract's cases, the list and its test."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A banned phrase, its replacement, and the path globs of files that may use the phrase."""

    pattern: re.Pattern[str]
    instead: str
    allow: tuple[str, ...]

    def find(self, path: str, text: str) -> Iterator[tuple[int, str]]:
        """Yield line number and words of each occurrence in a file."""
        if not self.pattern.search(text) or any(fnmatch(path, glob) for glob in self.allow):
            return
        for number, line in enumerate(text.splitlines(), 1):
            yield from ((number, found[0]) for found in self.pattern.finditer(line))


def load() -> list[Phrase]:
    """Read the list."""
    return [
        Phrase(
            re.compile(rf"(?<![a-z])(?:{entry['pattern']})(?![a-z])", re.IGNORECASE | re.MULTILINE),
            entry["instead"],
            tuple(entry.get("allow", ())),
        )
        for entry in tomllib.loads(PHRASES.read_text())["phrase"]
    ]


def tracked(paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield name and text of each tracked text file below `paths`."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--", *paths], check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listing.split("\0")):
        path = Path(name)
        if any(fnmatch(name, glob) for glob in _SKIPPED) or path.is_symlink() or not path.is_file():
            continue
        try:
            yield name, path.read_text()
        except UnicodeDecodeError:
            continue  # an image


def main(paths: Sequence[str]) -> int:
    """Print all occurrences and the count per folder. Return the exit status."""
    phrases = load()
    counts: Counter[str] = Counter()
    for name, text in tracked(paths):
        for phrase in phrases:
            for number, found in phrase.find(name, text):
                print(f"{name}:{number}: {found} → {phrase.instead}")
                counts[str(Path(name).parent)] += 1
    for folder, count in counts.most_common():
        print(f"{count:6} {folder}")
    print(f"{counts.total():6} in all")
    return 1 if counts else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
