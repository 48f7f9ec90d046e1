"""Examples of requests and responses. tests/api sends the requests to a gateway and compares statuses and schemas."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]

JOB_ID: Final = "job_01kb3c9x5v8e2t7m4q6r0w1y3z"
_MODEL: Final = "local/sketch"
_LINK: Final = (
    "http://127.0.0.1:8080/media/2026-11-29/5b1f3c0a9d7e42f6-2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e88"
    "6266e7ae/0.png?exp=1764493230&sig=Zk3vJt0y9m1Qn5c7Xw2bLg"
)
_PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_FREE: Final[Json] = {"amount": 0.0, "currency": "USD", "estimated": False}
_IMAGE: Final[Json] = {"url": _LINK, "width": 512, "height": 512, "media_type": "image/png", "seed": 7}
_USAGE: Final[Json] = {"requests": 2, "images": 3, "failed": 0, "cost": {"amount": 0.08, "currency": "USD"}}


@dataclass(frozen=True, slots=True)
class Example:
    """One call of an operation. `name` is unique within the operation."""

    name: str
    summary: str
    status: int = 200
    body: Json | None = None
    form: Json | None = None
    """Text fields of a form. Files have test images."""
    headers: dict[str, str] = field(default_factory=dict)
    path: dict[str, str] = field(default_factory=dict)
    """Parameters of the path. Ids of jobs and keys are those of earlier examples."""
    query: dict[str, str] = field(default_factory=dict)
    response: Any = None
    """Response as JSON; None: described by its schema alone."""


def _job(status: str, **fields: Any) -> Json:
    return {
        "id": JOB_ID,
        "object": "job",
        "type": "image.generation",
        "modality": "image",
        "status": status,
        "model": _MODEL,
        "provider": "local",
        "created_at": 1764406827,
        "updated_at": 1764406829,
        **fields,
        "request": {"prompt": "a fox in the snow", "n": 1, "size": "512x512", "seed": 7},
    }


JOB: Final[dict[str, Json]] = {
    "queued": _job("queued", queue_position=3),
    "completed": _job(
        "completed",
        started_at=1764406827,
        completed_at=1764406829,
        expires_at=1765011629,
        progress=100,
        result={"created": 1764406829, "data": [_IMAGE], "file_url": _LINK},
        result_url=_LINK,
        cost=_FREE,
        metadata={"team": "web"},
    ),
    "failed": _job(
        "failed",
        started_at=1764406827,
        completed_at=1764406829,
        error={"message": "local failed to make the image.", "type": "provider_error", "code": "provider_error"},
    ),
    "cancelled": _job("cancelled", completed_at=1764406829, cost=_FREE),
}
"""Job by status."""
_ERASED: Final[Json] = {
    name: value
    for name, value in JOB["completed"].items()
    if name not in {"request", "result", "result_url", "expires_at", "metadata"}
} | {"erased_at": 1764410400}
_IMAGES: Final[Json] = {
    "created": 1764406829,
    "data": [_IMAGE],
    "id": JOB_ID,
    "model": _MODEL,
    "provider": "local",
    "cost": _FREE,
    "output_format": "png",
    "size": "512x512",
}
_PLAN: Final[Json] = {
    "object": "plan",
    "type": "image.generation",
    "modality": "image",
    "model": _MODEL,
    "provider": "local",
    "n": 2,
    "size": "1024x1024",
    "estimated_cost": {"amount": 0.0, "currency": "USD", "estimated": True},
}
_SKETCH: Final[Json] = {
    "id": _MODEL,
    "object": "model",
    "created": 1764028800,
    "owned_by": "local",
    "description": "Embedded sketches of landscapes, without a key and without network.",
    "modality": "image",
    "capabilities": ["image_to_image", "mask", "seed", "text_to_image"],
    "limits": {
        "max_prompt_length": 32000,
        "max_n": 10,
        "max_input_images": 16,
        "min_side": 64,
        "max_side": 2048,
        "side_step": 1,
        "output_formats": ["png", "jpeg", "webp"],
    },
    "routes": [{"name": "local", "mode": "inline", "available": True}],
    "available": True,
    "pricing": {"currency": "USD", "unit": "image", "amount": 0.0, "estimate": 0.0},
}
_EVENT: Final[Json] = {
    "created_at": 1764406829,
    "size": "512x512",
    "quality": "auto",
    "background": "auto",
    "output_format": "png",
    "b64_json": _PIXEL,
}
_KEY: Final = "sk-provider-0123456789abcdef"
_STORED_KEY: Final[Json] = {
    "object": "provider_key",
    "route": "openai",
    "created_at": 1764406827,
    "last_four": "cdef",
}
_SECRET: Final[Json] = {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw3l8c6ZB2yYw=", "created_at": 1764406827}


def _sse(name: str, data: Json) -> Json:
    return {"event": name, "data": json.dumps(data)}


BUDGET_EVENT: Final[Json] = {
    "id": "evt_3f2a9c0b7d4e8f1a6c5b2d9e0f",
    "object": "event",
    "type": "budget.threshold",
    "created_at": 1764406829,
    "data": {
        "scope": "key",
        "id": "0f3a9c27b1d4",
        "tenant": "design",
        "threshold": 80,
        "spent": 40.12,
        "budget": 50.0,
        "currency": "USD",
        "period": "2026-11",
    },
}
_OF_JOB: Final = {"job_id": JOB_ID}
_FILE: Final = _OF_JOB | {"filename": "0.png"}
_PROMPT: Final[Json] = {"model": _MODEL, "prompt": "a fox in the snow", "size": "512x512", "seed": 7}
_INPUT: Final = f"data:image/png;base64,{_PIXEL}"

EXAMPLES: Final[dict[str, tuple[Example, ...]]] = {
    "Generate": (
        Example("image", "One image", body=_PROMPT | {"metadata": {"team": "web"}}, response=_IMAGES),
        Example(
            "base64",
            "Image in the response",
            body=_PROMPT | {"response_format": "b64_json"},
            response=_IMAGES | {"data": [{"b64_json": _PIXEL} | {k: v for k, v in _IMAGE.items() if k != "url"}]},
        ),
        Example(
            "plan",
            "Plan and expected cost, without a call of the provider",
            body={"model": _MODEL, "prompt": "a fox in the snow", "n": 2},
            headers={"Prefer": "dry-run"},
            response=_PLAN,
        ),
        Example(
            "job",
            "Job at once",
            202,
            body=_PROMPT | {"n": 2},
            headers={"Prefer": "respond-async"},
            response={name: value for name, value in JOB["queued"].items() if name != "request"},
        ),
        Example(
            "stream",
            "Stream with a partial image",
            body=_PROMPT | {"stream": True, "partial_images": 1},
            response=_sse("image_generation.completed", {"type": "image_generation.completed", **_EVENT}),
        ),
    ),
    "GenerateVideo": (
        Example(
            "plan",
            "Plan and expected cost, without a call of the provider",
            body={"model": "google/veo-3.1-fast", "prompt": "waves at night", "seconds": 4},
            headers={"Prefer": "dry-run"},
            response=_PLAN
            | {"type": "video.generation", "modality": "video", "model": "google/veo-3.1-fast", "provider": "google"}
            | {"n": 1, "seconds": 4.0, "size": "1280x720"}
            | {"estimated_cost": {"amount": 0.6, "currency": "USD", "estimated": True}},
        ),
    ),
    "Edit": (
        Example(
            "url",
            "Edit of an image by URL",
            body={"model": _MODEL, "prompt": "at night", "image_url": _INPUT},
            response=_IMAGES,
        ),
        Example("form", "Edit of a file", form={"model": _MODEL, "prompt": "at night"}, response=None),
    ),
    "GetJob": (
        Example("completed", "Completed job", path=_OF_JOB, response=JOB["completed"]),
        Example("failed", "Failed job", path=_OF_JOB, response=JOB["failed"]),
    ),
    "ListJobs": (
        Example(
            "page",
            "First page",
            query={"status": "completed", "page_size": "1"},
            response={"object": "list", "data": [JOB["completed"]], "next_page_token": "MDE5YmMzLi4"},
        ),
    ),
    "StreamJobEvents": (
        Example(
            "completed",
            "Event of a completed job",
            path=_OF_JOB,
            response=_sse("job.completed", JOB["completed"]) | {"id": "42"},
        ),
    ),
    "CancelJob": (Example("ended", "Job that has ended already", path=_OF_JOB, response=JOB["completed"]),),
    "CancelJobByDelete": (Example("ended", "Job that has ended already", path=_OF_JOB, response=JOB["completed"]),),
    "RedeliverWebhook": (
        Example(
            "sent",
            "Job with a webhook",
            path=_OF_JOB,
            response=JOB["completed"] | {"webhook_attempts": [{"at": 1764406830, "status_code": 204}]},
        ),
    ),
    "DownloadFile": (Example("file", "First image", path=_FILE),),
    "SignFile": (
        Example(
            "day",
            "Link for one day",
            path=_FILE,
            query={"expires_in": "86400"},
            response={"url": _LINK, "expires_at": 1764493230},
        ),
    ),
    "ListModels": (
        Example(
            "images",
            "Models that make images",
            query={"modality": "image"},
            response={"object": "list", "data": [_SKETCH]},
        ),
    ),
    "GetModel": (Example("sketch", "Embedded model", path={"model_id": _MODEL}, response=_SKETCH),),
    "SetProviderKey": (
        Example("openai", "Key for OpenAI", path={"route": "openai"}, body={"key": _KEY}, response=_STORED_KEY),
    ),
    "ListProviderKeys": (Example("one", "One key", response={"object": "list", "data": [_STORED_KEY]}),),
    "DeleteProviderKey": (
        Example(
            "deleted",
            "Deleted key",
            path={"route": "openai"},
            response={"object": "provider_key", "route": "openai", "deleted": True},
        ),
    ),
    "GetWebhookSecret": (Example("secret", "Secret", response=_SECRET),),
    "RotateWebhookSecret": (
        Example("rotated", "New secret", response=_SECRET | {"previous_expires_at": 1764493227}),
    ),
    "GetUsage": (
        Example(
            "models",
            "Usage by model",
            query={"group_by": "model", "start": "2026-11-01"},
            response={"object": "list", "data": [{"model": _MODEL, **_USAGE}], "total": _USAGE},
        ),
        Example("csv", "The same as CSV", query={"group_by": "model,day"}, headers={"Accept": "text/csv"}),
    ),
    "EraseJob": (Example("erased", "Erased job", path=_OF_JOB, response=_ERASED),),
    "GetHealth": (Example("ok", "Running", response={"status": "ok"}),),
    "GetReadiness": (Example("ready", "Ready", response={"status": "ready"}),),
}
"""Examples by operation, in an order in which they can run."""
