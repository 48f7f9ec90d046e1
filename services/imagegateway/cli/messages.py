"""Output of protobuf messages: as JSON with the names of the API, or as one line a field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict
from imagegateway.cli.terminal import print_document, print_fields, when

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message


def print_json(message: Message) -> None:
    """Print a message as JSON."""
    print_document(_document(message))


def print_list(messages: Iterable[Message]) -> None:
    """Print messages as a JSON list object."""
    print_document({"object": "list", "data": [_document(message) for message in messages]})


def print_object(message: Message, *, as_json: bool) -> None:
    """Print a message as JSON, or its fields, one a line, times as dates."""
    if as_json:
        print_json(message)
        return
    fields = _document(message)
    del fields["object"]
    print_fields({name: _shown(name, value) for name, value in fields.items()})


def _document(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


def _shown(name: str, value: Any) -> str:
    if name.endswith("_at"):
        return when(value)
    return ", ".join(value) if isinstance(value, list) else str(value)
