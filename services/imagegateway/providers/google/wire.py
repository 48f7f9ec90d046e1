"""Google's JSON: names in camelCase or snake_case alike, numbers at times as strings, base64 in either alphabet."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pybase64
from imagegateway.providers.kit.adapter import ResultMedia
from imagegateway.providers.kit.parsing import parse_whole_number

if TYPE_CHECKING:
    from imagegateway.providers.kit.adapter import HttpResponse

_SNAKE: Final = re.compile(r"(?<=[a-z0-9])_([a-z0-9])")
_FILE: Final = re.compile(r"(?:^|/v1(?:alpha|beta)?/)files/([A-Za-z0-9_-]+)(?::download)?(?:\?|$)")


def camel(value: Any) -> Any:
    """A JSON value with all its names in camelCase."""
    match value:
        case dict():
            return {spelt(name): camel(item) for name, item in value.items()}
        case list():
            return [camel(item) for item in value]
    return value


def answer(response: HttpResponse) -> dict[str, Any]:
    """The body as an object with names in camelCase; streams wrap it in a list. Empty when it is none."""
    body = response.json
    if isinstance(body, list) and body:
        body = body[0]
    return camel(body) if isinstance(body, dict) else {}


def at(value: Any, *names: str) -> Any:
    """What stands under nested names; None where one of them is missing."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; of anything else none, but an object is a list of itself."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def count(value: Any) -> int:
    """A number that is not negative, also one in a string; 0 for anything else."""
    return parse_whole_number(value) or 0


def decoded(text: str) -> bytes:
    """Bytes of base64 in either alphabet. Raises ValueError for what is none."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    return pybase64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def found(uri: str) -> ResultMedia:
    """A result that wants the key as long as it is Google's own; of a file, its content."""
    file = file_of(uri)
    return ResultMedia(url=uri if "?" in uri or not file else f"/{file}:download?alt=media", needs_credentials=True)


def file_of(uri: str) -> str:
    """The name, `files/<id>`, of the file that a URI of the Files API stands for; empty for all other URIs."""
    found = _FILE.search(uri)
    return f"files/{found[1]}" if found else ""


def spelt(name: str) -> str:
    """A name in camelCase."""
    return _SNAKE.sub(lambda match: match[1].upper(), name)
