"""Bounds of request fields beyond protobuf's types, as JSON Schema keywords: ranges, patterns and values.

A test compares the bounds with the values that the gateway accepts.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from imagegateway.platform import ids

from tools.openapi import admin_bounds as admin

Json: TypeAlias = dict[str, Any]

_URL: Final[Json] = {"type": "string", "format": "uri", "pattern": r"^https://[!-~]+$"}
_INPUT: Final[Json] = {
    "description": "An https URL, or a data URL of a PNG, JPEG or WebP",
    "type": "string",
    "pattern": r"^(https://|data:image/)[!-~]+$",
}
_INPUT_OBJECT: Final[Json] = {"type": "object", "required": ["image_url"], "properties": {"image_url": _INPUT}}
_ANY_INPUT: Final[Json] = {"anyOf": [_INPUT, _INPUT_OBJECT]}
_END_USER: Final[Json] = {"maxLength": 512}
_JOB_ID: Final[Json] = {"job_id": {"pattern": f"^{ids.JOB_PATTERN}$"}}
_FILE: Final[Json] = _JOB_ID | {"filename": {"pattern": r"^[0-9]{1,2}\.[a-z0-9]{2,5}$"}}
_ROUTE: Final[Json] = {"route": {"pattern": "^[a-z0-9]+$"}}
_DAY: Final[Json] = {"format": "date"}
_MODEL: Final[Json] = {"pattern": "^[!-~]+$"}

IDEMPOTENCY_KEY: Final[Json] = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}

_IMAGE_REQUEST: Final[Json] = {
    "model": _MODEL | {"examples": ["local/sketch"]},
    "prompt": {"minLength": 1, "pattern": r"\S"},
    "n": {"minimum": 1, "maximum": 10},
    "size": {"pattern": "^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$", "examples": ["1024x1024"]},
    "quality": {"enum": ["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"]},
    "style": {"anyOf": [{"enum": ["vivid", "natural"]}, {"description": "A style of the model's own"}]},
    "background": {"enum": ["auto", "transparent", "opaque"]},
    "moderation": {"enum": ["auto", "low"]},
    "output_format": {"enum": ["png", "jpeg", "webp", "gif", "svg"]},
    "output_compression": {"minimum": 0, "maximum": 100},
    "response_format": {"enum": ["url", "b64_json"]},
    "user": _END_USER,
    "partial_images": {"minimum": 0, "maximum": 3},
    "seed": {"minimum": 0, "maximum": 4_294_967_295},
    "aspect_ratio": {"pattern": "^[1-9][0-9]{0,3}:[1-9][0-9]{0,3}$", "examples": ["16:9"]},
    "seconds": {"exclusiveMinimum": 0},
    "fps": {"minimum": 1},
    "webhook_url": _URL,
    "metadata": {
        "maxProperties": 16,
        "propertyNames": {"minLength": 1, "maxLength": 64},
        "additionalProperties": {"type": "string", "maxLength": 512},
    },
    "request_id": IDEMPOTENCY_KEY,
    "safety_identifier": _END_USER,
    "complexity": {"enum": ["low", "medium", "high"]},
    "frame_count": {"minimum": 2, "maximum": 16},
    "frame_duration_ms": {"minimum": 1, "maximum": 655_350},
}

FIELDS: Final[dict[str, Json]] = {
    "GenerateRequest": _IMAGE_REQUEST,
    "EditRequest": _IMAGE_REQUEST
    | {
        "prompt": {},
        "image_url": _INPUT,
        "images": {"minItems": 1, "maxItems": 16, "items": _ANY_INPUT},
        "mask_url": _INPUT,
        "mask": _ANY_INPUT,
        "image_content": {"minItems": 1, "maxItems": 16},
        "markup_url": _INPUT,
        "markup": _ANY_INPUT,
        "input_fidelity": {"enum": ["high", "low"]},
        "strength": {"minimum": 0, "maximum": 1},
    },
    "Lora": {"url": _URL, "scale": {"minimum": -4, "maximum": 4}},
    "Svg": {"model": {"maxLength": 512}},
    "SvgReasoning": {"effort": {"enum": ["none", "minimal", "low", "medium", "high", "xhigh", "max"]}},
    "ListJobsRequest": {
        "status": {"enum": ["queued", "running", "completed", "failed", "cancelled"]},
        "model": _MODEL,
        "page_size": {"minimum": 1},
    },
    "GetUsageRequest": {
        "start": _DAY,
        "end": _DAY,
        "group_by": {"examples": ["model,key", "day", "metadata.team"]},
        "page_size": {"minimum": 1},
    },
    "ListModelsRequest": {"modality": {"enum": ["image", "video"]}},
    "GetModelRequest": {"model_id": _MODEL},
    "SetProviderKeyRequest": _ROUTE
    | {"key": {"minLength": 1, "maxLength": 4096, "pattern": "^[!-~]([ -~]*[!-~])?$"}},
    "DeleteProviderKeyRequest": _ROUTE,
    "GetJobRequest": _JOB_ID,
    "CancelJobRequest": _JOB_ID,
    "EraseJobRequest": _JOB_ID,
    "RedeliverWebhookRequest": _JOB_ID,
    "StreamJobRequest": _JOB_ID | {"after": {"pattern": "^[0-9]{1,18}$"}},
    "DownloadFileRequest": _FILE,
    "SignFileRequest": _FILE | {"expires_in": {"minimum": 60, "maximum": 604_800}},
    **admin.FIELDS,
}
"""Keywords by message and field."""

_ONE_SHAPE: Final[Json] = {
    "if": {"required": ["aspect_ratio"], "properties": {"aspect_ratio": {}}},
    "then": {"properties": {"size": {"const": "auto"}}},
}

OBJECTS: Final[dict[str, Json]] = {
    "GenerateRequest": _ONE_SHAPE,
    "EditRequest": _ONE_SHAPE
    | {"anyOf": [{"required": [name]} for name in ("image_url", "images", "image_content")]},
    "Lora": {"oneOf": [{"required": ["url"]}, {"required": ["id"]}]},
    **admin.OBJECTS,
}
"""Keywords by message, for combinations of fields."""
