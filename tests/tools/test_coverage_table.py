"""Coverage of each room, from the counts of its files."""

from __future__ import annotations

from tools.coverage_table import by_room, rows


def _file(lines: int, lines_run: int, branches: int, branches_run: int) -> dict[str, dict[str, int]]:
    counts = {
        "num_statements": lines,
        "covered_lines": lines_run,
        "num_branches": branches,
        "covered_branches": branches_run,
    }
    return {"summary": counts}


def test_table_has_a_row_for_each_room_and_the_total() -> None:
    files = {
        "services/imagegateway/jobs/usage/reports.py": _file(30, 29, 4, 3),
        "services/imagegateway/cli/app.py": _file(10, 10, 0, 0),
        "services/imagegateway/jobs/feed.py": _file(70, 70, 6, 6),
    }
    assert list(rows(by_room({"files": files}))) == [
        "room         lines  missed  covered  branches  missed  covered",
        "cli             10       0   100.0%         0       0        -",
        "jobs           100       1    99.0%        10       1    90.0%",
        "total          110       1    99.1%        10       1    90.0%",
    ]
