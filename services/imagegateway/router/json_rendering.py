"""Answers as the JSON of REST, where Envoy does not make it. JSON with images in it is made in pieces."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson
import pybase64
from google.protobuf.json_format import MessageToDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from google.protobuf.message import Message
    from imagegateway.router.responses import ImagesAnswer

PLACE: Final = secrets.token_hex(16)
"""Stands for the base64 of an image until the JSON is written. No caller knows it."""
_STEP: Final = 768 * 1024
"""Bytes that are encoded at once: divisible by 3, so that the parts of one base64 text join."""


@dataclass(frozen=True, slots=True)
class JsonDocument:
    """JSON with images in it. Beside the images, one piece of about 1 MiB stands in memory."""

    _texts: Sequence[bytes]
    """What stands before, between and behind the images."""
    _contents: Sequence[bytes]

    @classmethod
    def of(cls, values: Mapping[str, Any], contents: Sequence[bytes] = ()) -> JsonDocument:
        """Make a document of `values`, in which `PLACE` stands for each of `contents`, in their order."""
        return cls(orjson.dumps(values).split(PLACE.encode()), contents)

    @property
    def length(self) -> int:
        """Bytes of the whole document."""
        return sum(map(len, self._texts)) + sum((len(content) + 2) // 3 * 4 for content in self._contents)

    def pieces(self, start: bytes = b"", end: bytes = b"") -> Iterator[bytes]:
        """Yield the document, between `start` and `end`."""
        pending = bytearray(start + self._texts[0])
        for content, text in zip(self._contents, self._texts[1:], strict=True):
            data = memoryview(content)
            for at in range(0, len(data), _STEP):
                if at:
                    yield bytes(pending)
                    pending.clear()
                pending += pybase64.b64encode(data[at : at + _STEP])
            pending += text
            if len(pending) >= _STEP:
                yield bytes(pending)
                pending.clear()
        if pending or end:
            yield bytes(pending + end)


def to_json(message: Message) -> bytes:
    """Return proto3 JSON with the names of the proto file."""
    return orjson.dumps(MessageToDict(message, preserving_proto_field_name=True))


def images_to_json(answer: ImagesAnswer) -> JsonDocument:
    """Return an answer's JSON. The library's own base64 would cost 50 times more."""
    values = MessageToDict(answer.message, preserving_proto_field_name=True)
    for image in values.get("data", ()) if answer.contents else ():
        image["b64_json"] = PLACE
    return JsonDocument.of(values, answer.contents)
