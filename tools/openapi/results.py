"""Schemas of image operations: bodies of requests as forms, images, plans, and OpenAI's image events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from imagegateway.v1 import image_service_pb2, job_pb2

if TYPE_CHECKING:
    from tools.openapi.schemas import Schemas

Json: TypeAlias = dict[str, Any]

_RESPONSE: Final = image_service_pb2.ImagesResponse.DESCRIPTOR
_IMAGES: Final = (
    *("created", "data", "id", "model", "provider", "usage", "cost", "warnings", "background", "output_format"),
    *("quality", "size", "safety_identifier", "svg_usage"),
)
_PLAN: Final = (
    *("object", "type", "modality", "model", "provider", "n", "size", "quality", "seconds", "estimated_cost"),
    "warnings",
)
_FILE: Final[Json] = {"type": "string", "contentMediaType": "application/octet-stream"}
_TEXT_OR_AUTO: Final = "`auto` where it is not known."
_EVENT: Final[dict[str, Json]] = {
    "created_at": {"description": "Time of the event in Unix seconds.", "type": "integer"},
    "size": {"description": f"`<width>x<height>` in pixels, or {_TEXT_OR_AUTO}", "type": "string"},
    "quality": {
        "description": f"Requested quality, or {_TEXT_OR_AUTO}",
        "type": "string",
        "enum": ["auto", "low", "medium", "high", "xhigh", "max"],
    },
    "background": {
        "description": f"Requested background, or {_TEXT_OR_AUTO}",
        "type": "string",
        "enum": ["auto", "transparent", "opaque"],
    },
    "output_format": {
        "description": "Format of the image, if OpenAI's event types have it.",
        "type": "string",
        "enum": ["png", "jpeg", "webp"],
    },
}
_EVENT_REQUIRED: Final = ("type", "created_at", "size", "quality", "background")
_CHANGES: Final = ("queued", "running", "progress", "completed", "failed", "cancelled")
_BASE64: Final[Json] = {"type": "string", "contentEncoding": "base64"}


def images_or_plan(schemas: Schemas) -> Json:
    """Return the schema of the response 200 of an operation that makes images."""
    images = schemas.part(_RESPONSE, _IMAGES) | {
        "description": "Images of a completed job.",
        "required": ["created", "data", "id", "model", "provider"],
    }
    plan = schemas.part(_RESPONSE, _PLAN) | {
        "description": "Plan of a call with `Prefer: dry-run`. Nothing was dispatched.",
        "required": ["object", "type", "modality", "model", "provider", "n"],
    }
    plan["properties"]["object"] = {"description": "Constant `plan`.", "type": "string", "const": "plan"}
    return {"anyOf": [schemas.add("ImagesResponse", images), schemas.add("Plan", plan)]}


def job(schemas: Schemas) -> Json:
    """Return the schema of the response 202: the job."""
    return schemas.message(job_pb2.Job.DESCRIPTOR)


def edit_form(schemas: Schemas) -> Json:
    """Return the schema of an edit as a form: fields as text, images as files."""
    edit = image_service_pb2.EditRequest.DESCRIPTOR
    fields: Json = {
        field.name: schemas.field(field)
        for field in edit.fields
        if not field.name.startswith(("image", "mask", "markup"))
    }
    fields["image"] = {
        "description": "Images to edit: files of PNG, JPEG or WebP of at most 26,214,400 bytes each, 1 to 16 within "
        "the limit of the model. The names `image[]` and `image[0]` mean the same. `image_url` takes a URL.",
        "type": "array",
        "items": _FILE,
        "minItems": 1,
        "maxItems": 16,
    }
    for name in ("mask", "markup"):
        text = schemas.field(edit.fields_by_name[f"{name}_content"])["description"]
        fields[name] = _FILE | {"description": text}
    return schemas.add(
        "EditForm",
        {
            "description": (
                "Edit as a form. Fields mean the same as in EditRequest. Lists and objects come as JSON text "
                '(`metadata={"team":"web"}`) or in brackets (`metadata[team]=web`). An empty field counts as absent.'
            ),
            "type": "object",
            "required": ["image"],
            "properties": fields,
            "propertyNames": {"minLength": 1},
        },
    )


def image_events(schemas: Schemas, *, edit: bool) -> Json:
    """Return the schema of one event in the stream of a generation or an edit."""
    prefix, name = ("image_edit", "ImageEdit") if edit else ("image_generation", "ImageGeneration")
    partial = schemas.add(
        f"{name}PartialImageEvent",
        _event(
            f"{prefix}.partial_image",
            "Unfinished image of a stream.",
            {
                "b64_json": _BASE64 | {"description": "Bytes of the partial image in base64."},
                "partial_image_index": {"description": "Index of the partial image, from 0.", "type": "integer"},
            },
            ("b64_json", "partial_image_index"),
        ),
    )
    usage = schemas.message(job_pb2.Usage.DESCRIPTOR)
    completed = schemas.add(
        f"{name}CompletedEvent",
        _event(
            f"{prefix}.completed",
            "Finished image of a stream. A call for several images ends with one event for each.",
            {
                "b64_json": _BASE64 | {"description": "Bytes of the image in base64."},
                "url": {"description": "Signed URL of the image, with `response_format: url`.", "type": "string"},
                "usage": usage | {"description": "Usage, if the provider reports one."},
                "safety_identifier": {
                    "description": "The request's `safety_identifier`, else its `user`.",
                    "type": "string",
                },
            },
            (),
        ),
    )
    return {
        "anyOf": [
            _sse(f"{prefix}.partial_image", partial),
            _sse(f"{prefix}.completed", completed),
            _stream_error(schemas),
        ]
    }


def job_events(schemas: Schemas) -> Json:
    """Return the schema of one event in the stream of a job."""
    changes = [_sse(f"job.{change}", job(schemas), with_id=True) for change in _CHANGES]
    return {"anyOf": [*changes, _stream_error(schemas)]}


def _stream_error(schemas: Schemas) -> Json:
    error: Json = {
        "description": "Error after the start of a stream, when the status 200 is sent already.",
        "type": "object",
        "required": ["type", "error"],
        "properties": {
            "type": {"description": "Constant `error`.", "type": "string", "const": "error"},
            "error": {"description": "Error.", "$ref": "#/components/schemas/Error/properties/error"},
        },
    }
    return _sse("error", schemas.add("StreamError", error))


def _sse(name: str, data: Json, *, with_id: bool = False) -> Json:
    """Return the schema of a server-sent event, whose data is JSON, as OpenAPI 3.2 describes such events."""
    fields: Json = {
        "event": {"description": "Name.", "type": "string", "const": name},
        "data": {
            "description": "Data as JSON text.",
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": data,
        },
    }
    if with_id:
        fields["id"] = {"description": "Id, for `Last-Event-ID`.", "type": "string"}
    return {"type": "object", "required": list(fields), "properties": fields}


def _event(name: str, description: str, fields: Json, required: tuple[str, ...]) -> Json:
    kind: Json = {"description": f"Constant `{name}`, as the event's name.", "type": "string", "const": name}
    return {
        "description": description,
        "type": "object",
        "required": [*_EVENT_REQUIRED, *required],
        "properties": {"type": kind, **_EVENT, **fields},
    }
