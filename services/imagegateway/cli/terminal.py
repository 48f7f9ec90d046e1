"""Output of commands: JSON, tables and fields. Texts from the server are printed with escapes.

A table fits the terminal's width; in a pipe its lines are whole, for `grep` and `awk`.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

from imagegateway.platform import setting_source
from imagegateway.platform.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console

_SHORT: Final = 10
"""Characters of texts that a narrow terminal does not fold."""
DIM: Final = "2"
RED: Final = "31"
GREEN: Final = "32"


def styled(text: str, style: str) -> str:
    """Return a printable text in a style, if the standard output is a terminal that takes colours."""
    if setting_source.colors():
        return f"\x1b[{style}m{printable(text)}\x1b[0m"
    return printable(text)


def print_document(document: Any) -> None:
    """Print a value as JSON, in which control characters are escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if not text.replace("\n", "").isprintable():
        text = "".join(mark if mark == "\n" or mark.isprintable() else json.dumps(mark)[1:-1] for mark in text)
    print(text)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with columns as wide as their texts. An empty text is shown as `-`."""
    cells = [[name.upper() for name in header], *([printable(text) or "-" for text in row] for row in rows)]
    if sys.stdout.isatty():
        _print_fitting(cells)
        return
    widths = [max(map(len, column)) for column in zip_longest(*cells, fillvalue="")]
    for row in cells:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def print_fields(fields: Mapping[str, str]) -> None:
    """Print names and texts, one pair a line."""
    width = max(20, *map(len, fields), 0)
    for name, text in fields.items():
        print(f"{name:{width}} {printable(text)}")


def when(seconds: float) -> str:
    """Return a time in Unix seconds as text; empty for 0."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}" if seconds else ""


def console(*, errors: bool = False) -> Console:
    """Return a rich console of the standard output, or of the standard error."""
    from rich.console import Console  # noqa: PLC0415  70 ms that only styled output needs

    return Console(stderr=errors, highlight=False)


def _print_fitting(cells: Sequence[Sequence[str]]) -> None:
    """Print a table that fits the terminal's width: without empty columns, and with folded texts."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    output = console()
    columns = list(zip(*cells, strict=True))
    if sum(max(map(len, column)) + 2 for column in columns) > output.width:
        columns = [column for column in columns if set(column[1:]) != {"-"}]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for position, column in enumerate(columns):
        # An id over two lines can't be copied, and short texts over two lines can't be read.
        is_whole = position == 0 or max(map(len, column)) <= _SHORT
        table.add_column(column[0], overflow="fold", no_wrap=is_whole)
    for row in zip(*(column[1:] for column in columns), strict=True):
        table.add_row(*map(Text, row))
    output.print(table)
