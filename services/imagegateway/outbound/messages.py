"""Messages of outbound HTTP: URLs, headers and bodies, as they go over the wire."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import httpx  # noqa: TID251  parses URLs and encodes forms
import orjson
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable, Mapping, Sequence

Body: TypeAlias = "bytes | AsyncIterable[bytes] | None"
File: TypeAlias = tuple[str, tuple[str, bytes, str]]
"""File of a form: the field, and the file's name, bytes and media type."""

_HEADERS: Final = {
    "accept": "*/*",
    "accept-encoding": "identity",
    "connection": "keep-alive",
    "user-agent": "imagegateway",
}
"""Headers of every request, unless the caller sets them."""
_CACHED_URLS: Final = 256


@dataclass(slots=True)
class Request:
    """Request to one server. Header names are in lower case."""

    method: str
    url: URL
    headers: dict[str, str]
    body: Body
    connect_seconds: float
    """Timeout of the connection with its TLS handshake."""
    idle_seconds: float | None = None
    """Longest time between two pieces of the response; None: no limit."""
    tls_name: str | None = None
    """Name that TLS checks; None: the URL's host."""


def request_headers(own: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return a request's headers: the body's `own` ones, and the caller's in their place.

    Raises UnicodeError for a value outside ASCII.
    """
    headers = {**_HEADERS, **own}
    for name, value in given.items():
        value.encode("ascii")
        headers[name.lower()] = value
    return headers


def response_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return a response's headers with names in lower case; values of one name are joined with commas."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), _text(raw_value)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def exact_url(url: str, query: Mapping[str, str] | None = None) -> URL:
    """Return a URL as sent, its query replaced by `query` if that is given.

    Escapes stay as written: aiohttp would unquote some (`%2F` in a query), which breaks signatures over the query.
    Raises httpx.InvalidURL and UnicodeError, also for names that the URL guard takes (xn--).
    """
    return _exact(httpx.URL(url, params=dict(query))) if query else _parse(url)


@lru_cache(_CACHED_URLS)
def _parse(url: str) -> URL:
    return _exact(httpx.URL(url))


def _exact(url: httpx.URL) -> URL:
    _ = url.host  # decodes the name, which fails for a malformed one
    return URL(str(url), encoded=True)


def json_body(json: Mapping[str, Any]) -> tuple[dict[str, str], Body]:
    """Return the headers and the body of JSON."""
    return {"content-type": "application/json"}, orjson.dumps(json)


def form_body(
    fields: Sequence[tuple[str, str]], files: Sequence[File], *, multipart: bool
) -> tuple[dict[str, str], Body]:
    """Return the headers and the body of a form: url-encoded for fields alone, unless `multipart` is set."""
    is_multipart = multipart or bool(files)
    parts = [(name, (None, value)) for name, value in fields] if is_multipart else []
    encoded = httpx.Request(
        "POST", "http://form/", data=None if is_multipart else dict(fields), files=[*parts, *files] or None
    )
    headers = {name: value for name, value in encoded.headers.items() if name.startswith("content-")}
    body = cast("AsyncIterable[bytes]", encoded.stream) if is_multipart else encoded.content
    return headers, body
