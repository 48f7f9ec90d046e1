"""JSON fields of Google's APIs, and the refusal of all others. Names may be camelCase or snake_case."""

from __future__ import annotations

import re
from typing import Any, Final

from aiohttp import web

Schema = dict[str, Any]
"""Known names; a value of {} takes anything, a list of one schema takes a list of such objects."""

_BLOB: Final[Schema] = {"mimeType": {}, "data": {}}
_PART: Final[Schema] = {"text": {}, "inlineData": _BLOB, "fileData": {"mimeType": {}, "fileUri": {}}}
_MEDIUM: Final[Schema] = {"bytesBase64Encoded": {}, "gcsUri": {}, "mimeType": {}}

GENERATE: Final[Schema] = {
    "contents": [{"role": {}, "parts": [_PART]}],
    "generationConfig": {
        "responseModalities": {},
        "imageConfig": {"aspectRatio": {}, "imageSize": {}},
        "seed": {},
        "temperature": {},
        "candidateCount": {},
    },
    "safetySettings": [{"category": {}, "threshold": {}}],
    "tools": {},
    "systemInstruction": {},
}
PREDICT: Final[Schema] = {
    "instances": [{"prompt": {}}],
    "parameters": {
        "sampleCount": {},
        "aspectRatio": {},
        "sampleImageSize": {},
        "personGeneration": {},
        "safetySetting": {},
        "includeRaiReason": {},
        "includeSafetyAttributes": {},
        "language": {},
        "guidanceScale": {},
        "outputOptions": {"mimeType": {}, "compressionQuality": {}},
    },
}
LONG_RUNNING: Final[Schema] = {
    "instances": [
        {
            "prompt": {},
            "image": _MEDIUM,
            "lastFrame": _MEDIUM,
            "video": _MEDIUM,
            "referenceImages": [{"image": _MEDIUM, "referenceType": {}}],
        }
    ],
    "parameters": {
        "sampleCount": {},
        "durationSeconds": {},
        "aspectRatio": {},
        "resolution": {},
        "personGeneration": {},
        "negativePrompt": {},
        "enhancePrompt": {},
    },
}
INTERACTION: Final[Schema] = {
    "model": {},
    "input": {},
    "response_format": {
        "type": {},
        "aspect_ratio": {},
        "duration": {},
        "resolution": {},
        "delivery": {},
        "gcs_uri": {},
        "image_size": {},
        "mime_type": {},
    },
    "background": {},
    "store": {},
    "stream": {},
    "generation_config": {},
    "previous_interaction_id": {},
    "webhook_config": {},
}


class RefusedError(Exception):
    """Refusal of a request."""

    def __init__(self, status: int, name: str, message: str, details: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = error(status, name, message, details)

    def response(self) -> web.Response:
        return web.json_response(self.body, status=self.status)


def error(status: int, name: str, message: str, details: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return Google's error body."""
    return {
        "error": {"code": status, "message": message, "status": name, **({"details": details} if details else {})}
    }


def invalid(message: str) -> RefusedError:
    return RefusedError(400, "INVALID_ARGUMENT", message)


def read(body: Any, schema: Schema, where: str = "") -> dict[str, Any]:
    """Return a body with camelCase names. Raises RefusedError for an unknown name."""
    if not isinstance(body, dict):
        raise invalid("Invalid JSON payload received.")
    names = {name if name in schema else _camel(name): value for name, value in body.items()}
    for name, value in names.items():
        if name not in schema:
            at = f" at '{where}'" if where else ""
            raise invalid(f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.')
        known = schema[name]
        if isinstance(known, list):
            if not isinstance(value, list):
                raise invalid(f"Invalid value at '{where}{name}'.")
            names[name] = [read(item, known[0], f"{where}{name}[]") for item in value]
        elif known:
            names[name] = read(value, known, f"{where}{name}.")
    return names


def one_of(values: dict[str, Any], name: str, allowed: tuple[Any, ...]) -> None:
    """Refuse a value that is not allowed; a missing value is allowed."""
    if name in values and (isinstance(values[name], bool) or values[name] not in allowed):
        raise invalid(f"{name} must be one of {allowed}.")


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)
