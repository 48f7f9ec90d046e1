"""Parsing of Google's JSON: names in camelCase or snake_case, numbers also as strings, base64 in both alphabets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pybase64
from imagegateway.providers.kit.outcomes import ResultMedia
from imagegateway.providers.kit.parsing import parse_whole_number

if TYPE_CHECKING:
    from imagegateway.providers.kit.http_messages import HttpResponse

_SNAKE: Final = re.compile(r"(?<=[a-z0-9])_([a-z0-9])")
_FILE: Final = re.compile(r"(?:^|/v1(?:alpha|beta)?/)files/([A-Za-z0-9_-]+)(?::download)?(?:\?|$)")


def camel_case(value: Any) -> Any:
    """Return a JSON value with all its names in camelCase."""
    match value:
        case dict():
            return {camel_case_name(name): camel_case(item) for name, item in value.items()}
        case list():
            return [camel_case(item) for item in value]
    return value


def body_of(response: HttpResponse) -> dict[str, Any]:
    """Return the body, or the first item of a stream's list, as an object with camelCase names; else an empty one."""
    body = response.json
    if isinstance(body, list) and body:
        body = body[0]
    return camel_case(body) if isinstance(body, dict) else {}


def nested(value: Any, *names: str) -> Any:
    """Return the value under nested names; None where one of them is missing."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; an object counts as a list of itself, any other value as an empty list."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def parse_count(value: Any) -> int:
    """Return a number of 0 or more, also one in a string; 0 for any other value."""
    return parse_whole_number(value) or 0


def decode_base64(text: str) -> bytes:
    """Return the bytes of base64 in either alphabet. Raises ValueError for other text."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    return pybase64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def result_at(uri: str) -> ResultMedia:
    """Return the result at a URI, which requires the key at Google's host; for a file, its content."""
    file = file_name(uri)
    return ResultMedia(url=uri if "?" in uri or not file else f"/{file}:download?alt=media", needs_credentials=True)


def file_name(uri: str) -> str:
    """Return the name, `files/<id>`, of the file that a URI of the Files API names; empty for other URIs."""
    match = _FILE.search(uri)
    return f"files/{match[1]}" if match else ""


def camel_case_name(name: str) -> str:
    """Return a name in camelCase."""
    return _SNAKE.sub(lambda match: match[1].upper(), name)
