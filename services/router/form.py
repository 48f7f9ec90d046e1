"""A multipart form's text fields as an EditRequest: the same fields as in JSON, written as text."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from imagegateway.v1 import image_service_pb2 as pb

from services.common.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Iterable

_FIELDS: Final = pb.EditRequest.DESCRIPTOR.fields_by_name
_NESTED: Final = re.compile(r"^([a-z_]+)((?:\[[^\[\]]*\])+)$")
_LITERAL: Final = re.compile(r"true|false|-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?")
_TRUE: Final = {"true": True, "1": True, "false": False, "0": False}
_INTEGERS: Final = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64}


def read(fields: Iterable[tuple[str, str]]) -> tuple[pb.EditRequest, list[str]]:
    """The request, and the names of fields that it has no place for.

    Lists and objects are sent as JSON (`metadata={"a":"b"}`) or in brackets, as SDKs do (`metadata[a]=b`).
    Raises GatewayError naming the field whose text can't be read as its type.
    """
    values: dict[str, Any] = {}
    unknown: list[str] = []
    for name, text in fields:
        nested = _NESTED.match(name)
        base = nested[1] if nested else name
        descriptor = _FIELDS.get(base)
        if descriptor is None or base.endswith("_content"):
            unknown.append(name)
        elif nested:
            leaf = _literal(text) if base == "provider_options" else text
            _place(values, [base, *re.findall(r"\[([^\[\]]*)\]", nested[2])], leaf)
        elif descriptor.is_repeated or descriptor.message_type is not None:
            values[base] = _json(base, text)
        elif text != "":
            values[base] = _scalar(descriptor, text)
    request = pb.EditRequest()
    for name, value in values.items():
        try:
            ParseDict({name: value}, request)
        except ParseError:
            raise invalid(name, f"{name} is not of the documented shape.") from None
    return request, unknown


def _scalar(descriptor: FieldDescriptor, text: str) -> object:
    name = descriptor.name
    if descriptor.cpp_type in _INTEGERS:
        if not re.fullmatch(r"[+-]?\d{1,18}(\.0+)?", text.strip()):
            raise invalid(name, f"{name} must be a whole number, not {text[:40]!r}.")
        number = int(float(text)) if "." in text else int(text)
        if descriptor.cpp_type == FieldDescriptor.CPPTYPE_INT32 and abs(number) >= 1 << 31:
            raise invalid(name, f"{name} is out of range.")
        return number
    if descriptor.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        try:
            return float(text)
        except ValueError:
            raise invalid(name, f"{name} must be a number, not {text[:40]!r}.") from None
    if descriptor.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if text.lower() not in _TRUE:
            raise invalid(name, f"{name} must be true or false, not {text[:40]!r}.")
        return _TRUE[text.lower()]
    return text


def _json(name: str, text: str) -> object:
    if name in {"images", "mask"} and not text.lstrip().startswith(("[", "{")):
        return [text] if name == "images" else text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise invalid(name, f"{name} must be JSON in a form.") from None


def _literal(text: str) -> object:
    """SDKs write an object's numbers and booleans as text; in a Struct only the spelling tells what they were."""
    return json.loads(text) if _LITERAL.fullmatch(text) else text


def _place(values: dict[str, Any], path: list[str], leaf: object) -> None:
    """Put `a[b][]=leaf` at its place; an empty bracket or a number appends to a list."""
    node: Any = values
    for step, following in zip(path, [*path[1:], None], strict=True):
        fresh: Any = leaf if following is None else [] if following == "" or following.isdigit() else {}
        if isinstance(node, list):
            index = int(step) if step.isdigit() else len(node)
            if index >= len(node) or following is None:
                node.append(fresh)
                index = len(node) - 1
            node = node[index]
        elif isinstance(node, dict):
            if following is None:
                node[step] = leaf
            node = node.setdefault(step, fresh)
        else:
            raise invalid(path[0], f"{path[0]} is sent in two ways at once.")
