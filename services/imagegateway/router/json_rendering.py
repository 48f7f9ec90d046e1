"""JSON of REST responses that Envoy's transcoder does not render. JSON with images is rendered in pieces."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson
import pybase64
from google.protobuf.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from imagegateway.router.responses import ImagesResult

PLACEHOLDER: Final = secrets.token_hex(16)
"""Placeholder of an image's base64 until the JSON is rendered. No text of a caller can contain it."""
_STEP: Final = 768 * 1024
"""Bytes per encoding step: divisible by 3, so that the pieces of one base64 text join."""


@dataclass(frozen=True, slots=True)
class JsonDocument:
    """JSON with images. Rendering needs about 1 MiB of memory besides the images."""

    _texts: Sequence[bytes]
    """Texts before, between and after the images."""
    _contents: Sequence[bytes]

    @classmethod
    def of(cls, values: Mapping[str, Any], contents: Sequence[bytes] = ()) -> JsonDocument:
        """Return the document of `values`: the contents replace each `PLACEHOLDER`, in order."""
        return cls(orjson.dumps(values).split(PLACEHOLDER.encode()), contents)

    @property
    def length(self) -> int:
        """Return the length of the document in bytes."""
        return sum(map(len, self._texts)) + sum((len(content) + 2) // 3 * 4 for content in self._contents)

    def pieces(self, start: bytes = b"", end: bytes = b"") -> Iterator[bytes]:
        """Yield `start`, the document and `end`, in pieces."""
        pending = [start + self._texts[0]]
        for content, text in zip(self._contents, self._texts[1:], strict=True):
            data = memoryview(content)
            for at in range(0, len(data), _STEP):
                if at:
                    yield b"".join(pending)
                    pending.clear()
                pending.append(pybase64.b64encode(data[at : at + _STEP]))
            pending.append(text)
            if sum(map(len, pending)) >= _STEP:
                yield b"".join(pending)
                pending.clear()
        if pending or end:
            yield b"".join((*pending, end))


def to_values(message: Message) -> dict[str, Any]:
    """Return the set fields as values of JSON, by their names in the proto file.

    Responses have fields of types that JSON has, too: protobuf's own conversion of every type takes twice as long.
    """
    values: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.message_type is None:
            values[field.name] = list(value) if field.is_repeated else value
        elif isinstance(value, Message):
            values[field.name] = to_values(value)
        elif field.message_type.GetOptions().map_entry:
            values[field.name] = dict(value)
        else:
            values[field.name] = [to_values(each) for each in value]
    return values


def to_json(message: Message) -> bytes:
    """Return proto3 JSON with the names of the proto file. An empty list has `data`, which clients of lists read."""
    values = to_values(message)
    if values.get("object") == "list":
        values.setdefault("data", [])
    return orjson.dumps(values)


def images_to_json(result: ImagesResult) -> JsonDocument:
    """Return the JSON of an image operation's result. Protobuf's own base64 encoder would cost 50 times more."""
    values = to_values(result.message)
    for image in values.get("data", ()) if result.contents else ():
        image["b64_json"] = PLACEHOLDER
    return JsonDocument.of(values, result.contents)
