"""Conversion of a form's text fields to an EditRequest: the same fields as in JSON, written as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson
from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.router import json_body, request_fields
from imagegateway.router.input_images import MAX_IMAGES, too_many_images
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterable

_FIELDS: Final = pb.EditRequest.DESCRIPTOR.fields_by_name
_NESTED: Final = re.compile(r"^([a-z_]+)((?:\[[^\[\]]*\])+)$")
_INDEX: Final = re.compile(r"[0-9]{1,4}")
_MAX_DEPTH: Final = 32
_LITERAL: Final = re.compile(r"true|false|-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?")
_URLS: Final = frozenset({"images", "mask", "markup"})
"""Fields that a form may also send as URLs without JSON."""


def read(parts: Iterable[tuple[str, str]]) -> tuple[pb.EditRequest, list[str]]:
    """Return the request, and the names of unknown fields.

    Lists and objects come as JSON (`metadata={"a":"b"}`) or in brackets, as SDKs send them (`metadata[a]=b`). An
    empty field counts as absent.
    Raises GatewayError naming a field of another type, or a field that comes twice; REQUEST_TOO_LARGE for JSON with
    too many values.
    """
    values: dict[str, Any] = {}
    unknown: list[str] = []
    seen: set[str] = set()
    for name, text in parts:
        nested = _NESTED.match(name)
        base = nested[1] if nested else name
        descriptor = _FIELDS.get(base)
        if text == "" and not (nested and base in {"metadata", "provider_options"}):
            continue
        if descriptor is None or base.endswith("_content"):
            unknown.append(name)
            continue
        _check_once(name, base, seen)
        if nested:
            path = [base, *re.findall(r"\[([^\[\]]*)\]", nested[2])]
            _set_nested(values, path, _literal(text) if base == "provider_options" else text)
        elif base == "images":
            if (found := _json(base, text)) is not None:
                values[base] = [*values.get(base, []), *(found if isinstance(found, list) else [found])]
                if len(values[base]) > MAX_IMAGES:
                    raise too_many_images(base)
        elif descriptor.is_repeated or descriptor.message_type is not None:
            values[base] = _json(base, text)
        else:
            values[base] = text
    request, inside = request_fields.build(pb.EditRequest, values)
    return request, [*unknown, *inside]


def _check_once(name: str, base: str, seen: set[str]) -> None:
    """Add a field to `seen`. Raises GatewayError for a second value of a field that takes one."""
    other = base if name != base else f"{base}["
    if other in seen:
        raise invalid(base, f"{base} is sent in two ways at once.")
    if name in seen and name != "images" and "[]" not in name:
        raise invalid(name[:100], f"{name[:100]} is sent twice: send it once.")
    seen.update((name, base if name == base else f"{base}["))


def _json(name: str, text: str) -> Any:
    if name in _URLS and not text.lstrip().startswith(("[", "{")) and text.strip() != "null":
        return text
    try:
        return json_body.parse_value(bytearray(text.encode()))
    except GatewayError as error:
        if error.reason == ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE:
            raise GatewayError(error.reason, f"{name} has too many values.", param=name) from None
        raise invalid(name, f"{name} must be JSON in a form.") from None


def _literal(text: str) -> object:
    """Return a number or a boolean for a text spelled as one: an object without a schema has no types."""
    return orjson.loads(text) if _LITERAL.fullmatch(text) else text


def _set_nested(values: dict[str, Any], path: list[str], leaf: object) -> None:
    """Set `a[b][]=leaf`. Empty brackets and numbers append to a list; in metadata they name a key."""
    name = path[0]
    if len(path) > _MAX_DEPTH:
        raise invalid(name, f"{name} is nested more than {_MAX_DEPTH} levels deep.")
    node: Any = values
    for step, following in zip(path, [*path[1:], None], strict=True):
        fresh: Any = leaf if following is None else [] if _is_index(following) and name != "metadata" else {}
        if isinstance(node, list) and _is_index(step):
            index = int(step) if step else len(node)
            if index >= len(node) or following is None:
                node.append(fresh)
                index = len(node) - 1
            node = node[index]
        elif isinstance(node, dict):
            if following is None:
                node[step] = leaf
            node = node.setdefault(step, fresh)
        else:
            raise invalid(name, f"{name} is not of the documented shape.")


def _is_index(step: str) -> bool:
    """Return True for the text of a list index: empty, or a number."""
    return step == "" or _INDEX.fullmatch(step) is not None
