"""Tests that start other processes: their marker, and a guard that fails every other test that starts one."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKER: Final = "processes"
_FIXTURES: Final = frozenset({"nats", "s3_server", "stack"})
"""Fixtures of several folders that start a server."""
_FOLDERS: Final = ("api", "bench", "clients", "deploy", "dist", "docs", "fleet", "gateway", "monitoring", "page")
"""Folders of `tests/` whose tests start processes, each of them."""
_STARTS: Final = frozenset({"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "subprocess.Popen"})
"""Python's audit events for a start."""


def mark(item: pytest.Item) -> None:
    """Mark a test that takes one of the fixtures, or that is in one of the folders."""
    folder = item.nodeid.removeprefix("tests/").partition("/")[0]
    if folder in _FOLDERS or not _FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
        item.add_marker(MARKER)


class Guard:
    """Audit hook that fails a test without the marker at its start of a process. One for a whole run."""

    def __init__(self) -> None:
        self._forbidden = False
        sys.addaudithook(self._check)

    def _check(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._forbidden and event in _STARTS:
            pytest.fail(f"a test without the marker `{MARKER}` starts a process: {event} {arguments}")

    @contextmanager
    def watch(self, item: pytest.Item) -> Iterator[None]:
        """Fail the test at a start of a process, unless it has the marker."""
        self._forbidden = item.get_closest_marker(MARKER) is None
        try:
            yield
        finally:
            self._forbidden = False
