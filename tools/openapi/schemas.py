"""JSON Schemas of proto messages: types from descriptors, sentences from comments, bounds from tables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from google.api import field_behavior_pb2
from google.protobuf.descriptor import FieldDescriptor

from tools.openapi import answers, request_bounds

if TYPE_CHECKING:
    from collections.abc import Collection

    from google.protobuf.descriptor import Descriptor, MethodDescriptor

    from tools.openapi.comments import Comments

Json: TypeAlias = dict[str, Any]

_ADMIN: Final = "imagegateway.admin."
_MASK: Final = "update_mask"
"""Field of requests over gRPC. Over REST, the body's names are the mask."""
_CONSTANT: Final = re.compile(r"Constant `([a-z_]+)`\.")
_WELL_KNOWN: Final[dict[str, Json]] = {
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Value": {},
}
_SCALARS: Final[dict[int, Json]] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "format": "byte", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_INT64: {"type": "integer", "format": "int64"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "format": "int64", "minimum": 0, "maximum": 4_294_967_295},
}


class Schemas:
    """Builder of schemas. Collects those of messages as components."""

    def __init__(self, comments: Comments) -> None:
        self._comments = comments
        self.components: Json = {}

    def add(self, name: str, schema: Json) -> Json:
        """Add a component, and return a reference to it."""
        self.components.setdefault(name, schema)
        return {"$ref": f"#/components/schemas/{name}"}

    def message(self, message: Descriptor) -> Json:
        """Return a reference to the schema of a message, or the schema of a well-known one."""
        if message.full_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[message.full_name])
        name = name_of(message)
        if name not in self.components:
            schema = self.add(name, {})  # before the fields: a message may contain itself
            self.components[name].update(self.body(message))
            return schema
        return {"$ref": f"#/components/schemas/{name}"}

    def body(self, message: Descriptor, without: Collection[str] = ()) -> Json:
        """Return the schema of a message as an object, without some fields."""
        names = [field.name for field in message.fields if field.name not in without and field.name != _MASK]
        return self.part(message, names) | {"description": self._comments.of(message.full_name)}

    def part(self, message: Descriptor, names: Collection[str]) -> Json:
        """Return the schema of some fields of a message as an object."""
        fields = [field for field in message.fields if field.name in names]
        properties = {field.name: self.field(field) for field in fields}
        if _MASK in message.fields_by_name:
            properties = {name: _nullable(schema) for name, schema in properties.items()}
        schema: Json = {"type": "object", "properties": properties}
        always = answers.REQUIRED.get(name_of(message), ())
        required = [field.name for field in fields if field.name in always or _is_required(field)]
        if required:
            schema["required"] = required
        return schema | request_bounds.OBJECTS.get(name_of(message), {})

    def field(self, field: FieldDescriptor) -> Json:
        """Return the schema of a field with its description."""
        message = _short_name(field.full_name.rpartition(".")[0])
        text = self._comments.of(field.full_name)
        known: Json = request_bounds.FIELDS.get(message, {}) | answers.FIELDS.get(message, {})
        schema: Json = self._typed(field) | known.get(field.name, {}) | {"description": text}
        if found := _CONSTANT.match(text):
            schema["const"] = found[1]
        return schema

    def _typed(self, field: FieldDescriptor) -> Json:
        message = field.message_type
        if message is not None and message.GetOptions().map_entry:
            return {"type": "object", "additionalProperties": self._single(message.fields_by_name["value"])}
        if field.is_repeated:
            return {"type": "array", "items": self._single(field)}
        return self._single(field)

    def _single(self, field: FieldDescriptor) -> Json:
        if field.message_type is not None:
            return self.message(field.message_type)
        if _has(field_behavior_pb2.FieldBehavior.INPUT_ONLY, field):
            return _SCALARS[field.type] | {"writeOnly": True}
        return _SCALARS[field.type]


def _nullable(schema: Json) -> Json:
    """Return the schema of a field of a change, where null means the default."""
    values = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return schema | {"type": [schema["type"], "null"]} | values


def name_of(element: Descriptor | MethodDescriptor) -> str:
    """Return the name of a message or method, which is unique in the document."""
    return _short_name(element.full_name)


def _short_name(full_name: str) -> str:
    name = full_name.rpartition(".")[2]
    return f"Admin{name}" if full_name.startswith(_ADMIN) else name


def _is_required(field: FieldDescriptor) -> bool:
    return _has(field_behavior_pb2.FieldBehavior.REQUIRED, field)


def _has(behavior: field_behavior_pb2.FieldBehavior.ValueType, field: FieldDescriptor) -> bool:
    return behavior in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
