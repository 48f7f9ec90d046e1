"""Output of commands: JSON, tables and single objects."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict
from imagegateway.platform.logs import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.message import Message


def print_json(message: Message) -> None:
    """Print a message as JSON with the names of the API."""
    print(json.dumps(MessageToDict(message, preserving_proto_field_name=True), indent=2, ensure_ascii=False))


def print_list(messages: Iterable[Message]) -> None:
    """Print messages as a JSON list object."""
    data = [MessageToDict(message, preserving_proto_field_name=True) for message in messages]
    print(json.dumps({"object": "list", "data": data}, indent=2, ensure_ascii=False))


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with columns as wide as their texts. An empty text is shown as `-`."""
    cells = [[name.upper() for name in header], *([printable(text) or "-" for text in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip_longest(*cells, fillvalue="")]
    for row in cells:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def print_object(message: Message, *, as_json: bool) -> None:
    """Print a message as JSON, or its fields, one a line, times as dates."""
    if as_json:
        print_json(message)
        return
    fields = MessageToDict(message, preserving_proto_field_name=True)
    del fields["object"]
    for name, value in fields.items():
        print(f"{name:20} {printable(_shown(name, value))}")


def when(seconds: int) -> str:
    """Return a time in Unix seconds as text; empty for 0."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}" if seconds else ""


def _shown(name: str, value: Any) -> str:
    if name.endswith("_at"):
        return when(value)
    return ", ".join(value) if isinstance(value, list) else str(value)
