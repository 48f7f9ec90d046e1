"""Responses that operations share: errors by status, and headers."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from imagegateway.platform.errors import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterable

Json: TypeAlias = dict[str, Any]

ALWAYS: Final = (400, 408, 429, 431, 500, 502, 503, 504)
"""Statuses of every operation: Envoy's, and those of an unavailable gateway."""
KEYED: Final = (401, 403)
"""Statuses of operations that need an API key."""
NAMING: Final = (404,)
"""Statuses of operations that name a job, a file or a model."""
SENDING: Final = (413, 415)
"""Statuses of operations with a body."""
MAKING: Final = (402, 422)
"""Statuses of operations that make a job."""
EXPIRING: Final = (410,)
"""Statuses of operations on expiring data: files after some days, unreadable secrets."""
_STATUSES: Final = sorted({*ALWAYS, *KEYED, *NAMING, *SENDING, *MAKING, *EXPIRING, 416})
_WAITING: Final = frozenset({429, 503})

ERROR: Final[Json] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string", "minLength": 1},
                "type": {"enum": sorted({meaning.type for meaning in REASONS.values()})},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_REQUEST_ID: Final[Json] = {"description": "The caller's own where it is well-formed", "schema": {"type": "string"}}
_RETRY_AFTER: Final[Json] = {"required": True, "schema": {"type": "integer", "minimum": 1}}
JOB_HEADERS: Final[Json] = {
    "Location": {"required": True, "schema": {"type": "string"}},
    "Retry-After": _RETRY_AFTER,
}
"""Headers of a 202 response."""


def components() -> Json:
    """Return the responses that `errors` refers to."""
    return {_name(status): _response(status) for status in _STATUSES}


def errors(statuses: Iterable[int]) -> Json:
    """Return an operation's error responses by status."""
    return {str(status): {"$ref": f"#/components/responses/{_name(status)}"} for status in sorted(statuses)}


def _name(status: int) -> str:
    return "".join(part.capitalize() for part in HTTPStatus(status).phrase.replace("-", " ").split())


def _response(status: int) -> Json:
    schema = {"$ref": "#/components/schemas/Error"}
    headers = {"X-Request-Id": _REQUEST_ID} | ({"Retry-After": _RETRY_AFTER} if status in _WAITING else {})
    return {
        "description": HTTPStatus(status).phrase,
        "headers": headers,
        "content": {"application/json": {"schema": schema}},
    }
