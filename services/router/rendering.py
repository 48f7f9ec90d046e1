"""Answers as the JSON of REST, where Envoy does not make it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pybase64
from google.protobuf.json_format import MessageToDict

if TYPE_CHECKING:
    from typing import Any

    from google.protobuf.message import Message
    from imagegateway.v1 import image_service_pb2 as pb


def to_json(message: Message) -> bytes:
    """Return proto3 JSON with the names of the proto file."""
    return orjson.dumps(MessageToDict(message, preserving_proto_field_name=True))


def images_to_json(response: pb.ImagesResponse) -> bytes:
    """As `to_json`. Takes the images' bytes out of the message: they are encoded apart, as the library's own way
    costs 50 times more.
    """
    contents = [image.b64_json if image.HasField("b64_json") else None for image in response.data]
    for image in response.data:
        image.ClearField("b64_json")
    values: dict[str, Any] = MessageToDict(response, preserving_proto_field_name=True)
    for number, content in enumerate(contents):
        if content is not None:
            values["data"][number]["b64_json"] = pybase64.b64encode_as_string(content)
    return orjson.dumps(values)
