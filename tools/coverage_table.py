"""Table of the coverage of each room, from the JSON report of `make coverage`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PACKAGE: Final = PurePosixPath("services/imagegateway")
_TOTAL: Final = "total"


@dataclass(slots=True)
class Counts:
    """Lines and branches of some files, and how many of them ran."""

    lines: int = 0
    lines_run: int = 0
    branches: int = 0
    branches_run: int = 0

    def add(self, summary: Mapping[str, int]) -> None:
        """Add the counts of a file, as coverage reports them."""
        self.lines += summary["num_statements"]
        self.lines_run += summary["covered_lines"]
        self.branches += summary["num_branches"]
        self.branches_run += summary["covered_branches"]


def by_room(report: Mapping[str, Any]) -> dict[str, Counts]:
    """Return the counts of each room by name, and those of all rooms as the last."""
    rooms: dict[str, Counts] = {}
    total = Counts()
    for name, file in sorted(report["files"].items()):
        room = PurePosixPath(name).relative_to(_PACKAGE).parts[0]
        for counts in (rooms.setdefault(room, Counts()), total):
            counts.add(file["summary"])
    return {**rooms, _TOTAL: total}


def rows(rooms: Mapping[str, Counts]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"{'room':<10}{'lines':>8}{'missed':>8}{'covered':>9}{'branches':>10}{'missed':>8}{'covered':>9}"
    for room, found in rooms.items():
        lines = f"{found.lines:>8}{found.lines - found.lines_run:>8}{_share(found.lines_run, found.lines):>9}"
        missed = found.branches - found.branches_run
        yield f"{room:<10}{lines}{found.branches:>10}{missed:>8}{_share(found.branches_run, found.branches):>9}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def main(report: Path) -> None:
    """Print the table of a report."""
    print(*rows(by_room(json.loads(report.read_text()))), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
