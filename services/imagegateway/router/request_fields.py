"""Conversion of values from JSON and forms to typed requests. Errors name the field as the caller wrote it."""

from __future__ import annotations

import binascii
import re
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pybase64
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from imagegateway.platform.errors import invalid

if TYPE_CHECKING:
    from imagegateway.platform.errors import GatewayError

M = TypeVar("M", bound=Message)

_MAX_DEPTH: Final = 32
"""Maximum nesting of objects and lists in one field."""
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}(\.0{1,18})?")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]{0,17})?|\.[0-9]{1,17})(?:[eE][+-]?[0-9]{1,2})?")
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}
_RANGES: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
}


def build(message_type: type[M], values: dict[str, Any]) -> tuple[M, list[str]]:
    """Return the message, and the names of unknown fields. Empties `values` to free its memory early.

    Names may be those of the proto, or in camel case. None, an empty text, and an empty list of an unknown field
    count as absent. Numbers and booleans may come as text. Raises GatewayError INVALID_VALUE naming a field of
    another type.
    """
    message = message_type()
    unknown: list[str] = []
    _fill(message, values, "", unknown)
    return message, unknown


def _fill(message: Message, values: dict[str, Any], prefix: str, unknown: list[str]) -> None:
    descriptor = message.DESCRIPTOR
    filled: set[str] = set()
    for name in list(values):
        value = values.pop(name)
        field: Any = descriptor.fields_by_name.get(name) or descriptor.fields_by_camelcase_name.get(name)
        if value is None or value == "":
            continue
        if field is None:
            if value != []:
                unknown.append(prefix + name)
        elif field.name in filled:
            raise invalid(prefix + field.name, f"{prefix}{field.name} is sent twice.")
        else:
            filled.add(field.name)
            try:
                _set(message, field, value, prefix + field.name, unknown)
            except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write and UTF-8 can't
                raise _wrong(prefix + field.name, "Unicode text") from None


def _set(message: Message, field: FieldDescriptor, value: Any, path: str, unknown: list[str]) -> None:
    target = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        if not isinstance(value, dict):
            raise _wrong(path, "an object")
        for key, item in value.items():
            target[key] = _scalar(field.message_type.fields_by_name["value"], item, f"{path}.{key}"[:100])
    elif field.is_repeated:
        if not isinstance(value, list):
            raise _wrong(path, "a list")
        for index, item in enumerate(value):
            at = f"{path}[{index}]"
            if field.message_type is None:
                target.append(_scalar(field, item, at))
            else:
                _set_message(target.add(), item, at, unknown)
    elif field.message_type is None:
        setattr(message, field.name, _scalar(field, value, path))
    else:
        target.SetInParent()
        _set_message(target, value, path, unknown)


def _set_message(message: Message, value: Any, path: str, unknown: list[str]) -> None:
    if isinstance(message, Value):
        _check(value, path)
        ParseDict(value, message)
    elif not isinstance(value, dict):
        raise _wrong(path, "an object")
    elif isinstance(message, Struct):
        _check(value, path)
        ParseDict(value, message)
    else:
        _fill(message, value, f"{path}.", unknown)


def _check(value: object, path: str, depth: int = 0) -> None:
    """Raise GatewayError for a value that a Struct can't hold."""
    if depth > _MAX_DEPTH:
        raise invalid(path.partition(".")[0], f"{path.partition('.')[0]} is nested too deeply.")
    if isinstance(value, dict):
        for name, item in value.items():
            _check(item, f"{path}.{name}"[:100], depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, path, depth + 1)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _number(value, path)


def _scalar(field: FieldDescriptor, value: object, path: str) -> object:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_BOOL:
            return _boolean(value, path)
        case FieldDescriptor.CPPTYPE_DOUBLE:
            return _number(value, path)
        case FieldDescriptor.CPPTYPE_STRING:
            if not isinstance(value, str):
                raise _wrong(path, "a string")
            return _decoded(value, path) if field.type == FieldDescriptor.TYPE_BYTES else value
        case _:
            return _whole(field, value, path)


def _boolean(value: object, path: str) -> bool:
    found = _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise _wrong(path, "true or false")
    return found


def _number(value: object, path: str) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        return float(value)
    raise _wrong(path, "a number")


def _whole(field: FieldDescriptor, value: object, path: str) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        value = int(value.partition(".")[0])
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(path, "a whole number")
    low, high = _RANGES[field.cpp_type]
    if not low <= value <= high:
        raise invalid(path, f"{path} is out of range.")
    return value


def _decoded(text: str, path: str) -> bytes:
    try:
        return pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong(path, "base64 text") from None


def _wrong(path: str, wanted: str) -> GatewayError:
    return invalid(path, f"{path} must be {wanted}.")
