"""Paths without proto methods: media by signed link, health, the API description and its page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tools.openapi import errors, headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.openapi.errors import Errors, Group

Json: TypeAlias = dict[str, Any]

MEDIA: Final = "Files"
SERVICE: Final = "Service"
_BYTES: Final[Json] = {"description": "Bytes.", "type": "string", "format": "binary"}
_FILES: Final = {
    media_type: {"schema": _BYTES}
    for media_type in ("image/png", "image/jpeg", "image/webp", "image/gif", "image/svg+xml", "video/mp4")
}
_LINK: Final = (
    ("day", "path", "Day of the file.", {"type": "string", "pattern": "^[0-9-]+$"}),
    ("result", "path", "Key of the file.", {"type": "string", "pattern": "^[0-9a-f-]{64,81}$"}),
    ("name", "path", "File name.", {"type": "string", "pattern": "^[!-~]+$"}),
    ("exp", "query", "End of the link in Unix seconds.", {"type": "integer", "minimum": 0}),
    ("sig", "query", "Signature.", {"type": "string"}),
)
_STORED: Final = ("X-Request-Id", "ETag", "Cache-Control", "Accept-Ranges")
_SENT: Final = (*_STORED, "Content-Disposition")


def paths(found: Errors) -> Json:
    """Return the paths."""
    return {
        "/media/{day}/{result}/{name}": _media(found),
        "/healthz": {
            "get": _open(
                found,
                "GetHealth",
                "Return that the gateway runs",
                "For liveness probes: true while the media server answers.",
                {"200": _status("Running.", {"status": "ok"})},
            )
        },
        "/readyz": {
            "get": _open(
                found,
                "GetReadiness",
                "Return whether the gateway is ready",
                "For readiness probes and load balancers: ready when the media store and every router answer.",
                {
                    "200": _status("Ready.", {"status": "ready"}),
                    "503": _or_error(
                        _status("Not ready.", {"status": "not_ready", "not_ready": ["media-store", "router-0"]})
                    ),
                },
            )
        },
        "/openapi.json": {
            "get": _open(
                found,
                "GetDescription",
                "Return this description",
                "OpenAPI 3.1, with the gateway's own URL as the server.",
                {"200": _success("Description.", {"application/json": {"schema": {"type": "object"}}})},
            )
        },
        "/docs": {
            "get": _open(
                found,
                "GetReference",
                "Return the reference page",
                "This description as a page for people, without any other origin.",
                {"200": _success("Page.", {"text/html": {"schema": {"type": "string"}}})},
            )
        },
    }


def _open(found: Errors, name: str, summary: str, description: str, responses: Json) -> Json:
    """Return an operation that needs no key."""
    return {
        "operationId": name,
        "summary": summary,
        "description": description,
        "tags": [SERVICE],
        "security": [],
        "parameters": headers.parameters(["RequestId"]),
        "responses": found.of([errors.COMMON], keyed=False) | responses,
    }


def _media(found: Errors) -> Json:
    groups: Sequence[Group] = (errors.COMMON, errors.LINK, errors.RANGE)
    parameters = [
        {"name": name, "in": place, "required": True, "description": text, "schema": schema}
        for name, place, text, schema in _LINK
    ]
    refusals = found.of(groups, keyed=False)
    operation: Json = {
        "summary": "Download a file by signed link",
        "description": "Links come from `url`, `file_url` and `result_url`. A link needs no key and works in "
        "browsers of every origin.",
        "tags": [MEDIA],
        "security": [],
        "parameters": [*parameters, *headers.parameters(["RequestId", "Range", "IfNoneMatch"])],
        "responses": {
            "200": _success("File.", _FILES, _SENT),
            "206": _success("Range of the file.", _FILES, (*_SENT, "Content-Range")),
            "304": {"description": "The known version is current.", "headers": headers.responses(_STORED)},
            **refusals,
        },
    }
    head = {
        "summary": "Return the headers of a file by signed link",
        "responses": {
            status: {name: part for name, part in response.items() if name != "content"}
            for status, response in operation["responses"].items()
            if status in {"200", "304"}
        }
        | refusals,
    }
    return {
        "get": {"operationId": "GetMedia", **operation},
        "head": {"operationId": "HeadMedia", **operation, **head},
    }


def _success(description: str, content: Json, sent: Sequence[str] = ("X-Request-Id",)) -> Json:
    return {"description": description, "headers": headers.responses(sent), "content": content}


def _or_error(response: Json) -> Json:
    """Return a response that Envoy's own error may replace, while the media server does not answer."""
    content = response["content"]["application/json"]
    either = [content["schema"], {"$ref": "#/components/schemas/Error"}]
    return response | {"content": {"application/json": content | {"schema": {"anyOf": either}}}}


def _status(description: str, example: Json) -> Json:
    schema: Json = {
        "description": "State.",
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": {"description": "State.", "type": "string", "enum": ["ok", "ready", "not_ready"]},
            "not_ready": {
                "description": "Parts that are not ready.",
                "type": "array",
                "items": {"type": "string"},
            },
        },
    }
    content = {"application/json": {"schema": schema, "examples": {"state": {"value": example}}}}
    return _success(description, content)
