"""`imagegateway logs`: log lines of the stack on this machine, filtered and readable."""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import App, Parameter
from cyclopts.validators import Number
from imagegateway.cli.errors import CommandError
from imagegateway.cli.options import Json
from imagegateway.cli.source import checked_source
from imagegateway.platform import log_lines, setting_source
from imagegateway.platform.logs import LogLevel
from imagegateway.platform.printable import printable
from imagegateway.stack.log_relay import FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_POLL_SECONDS: Final = 0.2
_LEVELS: Final = tuple(LogLevel)
_EXAMPLES: Final = """Examples:
  imagegateway logs --follow
  imagegateway logs --level warning --lines 1000
  imagegateway logs --job job_01m8kba8ggjjgb233g05vp57zt
  imagegateway logs --event job_finished --json | jq .cost"""
app = App(name="logs", help_epilogue=_EXAMPLES)

_Lines = Annotated[int, Parameter(name=["--lines", "-n"], validator=Number(gte=0), metavar="N")]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Options that choose log lines. A line that is no event has no level, process or job."""

    level: Annotated[LogLevel | None, Parameter(help="Only lines of this level and above.")] = None
    process: Annotated[str, Parameter(help="Only lines of this process, such as router-0 or envoy.")] = ""
    event: Annotated[str, Parameter(help="Only lines of this event, such as request_finished.")] = ""
    job: Annotated[str, Parameter(help="Only lines of this job.", metavar="ID")] = ""
    request: Annotated[str, Parameter(help="Only lines of this request.", metavar="ID")] = ""
    trace: Annotated[str, Parameter(help="Only lines of this trace.", metavar="ID")] = ""

    def accepts(self, event: dict[str, Any] | None) -> bool:
        """Return whether a line is chosen. `event`: None for a line that is no event."""
        wanted = {
            "process": self.process,
            "event": self.event,
            "job_id": self.job,
            "request_id": self.request,
            "trace_id": self.trace,
        }
        if event is None:
            return self.level is None and not any(wanted.values())
        level = event.get("level")
        loud = self.level is None or level not in _LEVELS or _LEVELS.index(level) >= _LEVELS.index(self.level)
        return loud and all(not text or event.get(name) == text for name, text in wanted.items())


@app.default
def logs(
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], help="Go on with new lines, until Ctrl-C.")] = False,
    lines: Annotated[_Lines, Parameter(help="Chosen lines to begin with.")] = 100,
    chosen: Filter = Filter(),
    json: Json = False,
) -> None:
    """Show the last chosen log lines of the stack on this machine, oldest first."""
    path = setting_source.data_dir(checked_source()) / "run" / FILE
    if not path.exists():
        raise CommandError(f"there are no logs in {path.parent}: no gateway has run there")
    found: deque[str] = deque(maxlen=lines)
    with closing(_Tail(path)) as tail:
        found.extend(_chosen((*_older(path), *tail.read()), chosen))
        for line in found:
            _print(line, as_json=json)
        while follow:
            time.sleep(_POLL_SECONDS)
            for line in _chosen(tail.read(), chosen):
                _print(line, as_json=json)


def _chosen(lines: Iterable[str], chosen: Filter) -> Iterator[str]:
    return (line for line in lines if chosen.accepts(log_lines.parse(line)))


class _Tail:
    """Reader of a file that grows, and that is renamed when it is full."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open(errors="replace")
        self._rest = ""

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self) -> Iterator[str]:
        """Yield the new whole lines."""
        yield from self._new_lines()
        try:
            renamed = self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:  # between the renaming and the new file
            return
        if renamed:
            yield from self._new_lines()
            self._file.close()
            self._file = self._path.open(errors="replace")
            yield from self._new_lines()

    def _new_lines(self) -> Iterator[str]:
        *whole, self._rest = (self._rest + self._file.read()).split("\n")
        yield from whole


def _older(path: Path) -> Iterator[str]:
    """Yield the lines before the last rotation."""
    older = path.with_name(f"{path.name}.1")
    if older.exists():
        with older.open(errors="replace") as file:
            for line in file:
                yield line.removesuffix("\n")


def _print(line: str, *, as_json: bool) -> None:
    event = log_lines.parse(line)
    if as_json:
        if event is not None:
            print(line, flush=True)
        return
    print(printable(line) if event is None else log_lines.render(event, colors=setting_source.colors()), flush=True)
