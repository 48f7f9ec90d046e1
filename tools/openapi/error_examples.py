"""Example of each error: its message and parameter."""

from __future__ import annotations

from typing import Final

_JOB: Final = "job_01kb3c9x5v8e2t7m4q6r0w1y3z"

EXAMPLES: Final[dict[str, tuple[str, str | None]]] = {
    "invalid_json": ("The body is not valid JSON.", None),
    "missing_parameter": ("prompt is required.", "prompt"),
    "invalid_value": ("n must be from 1 to 10.", "n"),
    "unsupported_parameter": ("local/sketch does not support loras.", "loras"),
    "invalid_image": ("image is not a PNG, JPEG or WebP.", "image"),
    "invalid_image_url": ("image_url can't be fetched: the host answered with status 404.", "image_url"),
    "moderation_blocked": (
        "The provider refused the prompt. Your request was rejected as a result of the safety system.",
        "prompt",
    ),
    "invalid_api_key": ("The API key is unknown or revoked.", None),
    "budget_exceeded": ("The budget of the API key is used up.", None),
    "price_unknown": ("The price of acme/flux-lora is unknown, and the API key has a budget.", "model"),
    "insufficient_scope": ("The API key lacks the scope edit or video.", None),
    "model_not_allowed": (
        "The API key may not use openai/gpt-image-2. GET /v1/models lists the models that it may use.",
        "model",
    ),
    "byok_required": ("loras need your own provider key: send X-BYOK-replicate or X-BYOK-fal.", "loras"),
    "invalid_signature": ("The signature of this link is wrong: use the link whole and unchanged.", None),
    "model_not_found": ("There is no model 'bfl/flux-2-prot'. Near matches: bfl/flux-2-pro.", "model"),
    "model_retired": ("The provider has retired google/imagen-3: use google/imagen-4.", "model"),
    "job_not_found": (f"There is no job {_JOB!r}.", "job_id"),
    "not_found": ("There is no key '0f3a9c27b1d4'.", "id"),
    "unknown_url": ("There is no such URL.", None),
    "expired": (f"The media of job {_JOB} are gone: their retention is over, or the job was erased.", None),
    "webhook_secret_unreadable": ("The webhook secret can't be read any more: rotate it.", None),
    "request_timeout": ("The request took too long to arrive.", None),
    "file_too_large": ("image has more than 26214400 bytes.", "image"),
    "request_too_large": ("The request body is too large.", None),
    "unsupported_media_type": (
        "The content type must be application/json, or multipart/form-data for edits.",
        None,
    ),
    "idempotency_key_mismatch": ("This idempotency key was used with another request.", "Idempotency-Key"),
    "rate_limit_exceeded": ("The API key may make 60 requests per minute; try again in 2 s.", None),
    "provider_rate_limited": ("openai limits the rate of requests; try again later.", None),
    "subscriber_too_slow": ("The subscriber read too slowly and was dropped; go on from its last event id.", None),
    "cancelled": (f"Job {_JOB} was cancelled.", None),
    "internal": ("The gateway failed. Its log has the request id.", None),
    "provider_error": ("bfl failed to make the image.", None),
    "provider_bad_response": ("bfl answered without an image.", None),
    "provider_credentials": ("bfl refused the operator's key.", None),
    "provider_billing": ("The operator's account at bfl has no credit.", None),
    "provider_outcome_unknown": (
        f"It is not known whether bfl accepted job {_JOB}, so the call is not repeated.",
        None,
    ),
    "provider_unavailable": ("bfl is unreachable; try again later.", None),
    "provider_not_configured": ("bfl/flux-2-pro needs the setting IMAGEGATEWAY_BFL_API_KEY.", "model"),
    "overloaded": ("Too many jobs are waiting; try again later.", None),
    "service_unavailable": ("The media store can't be reached; try again.", None),
    "provider_timeout": (f"The provider took too long. GET /v1/jobs/{_JOB} has the state of the job.", None),
}
"""Message and parameter of each code."""

RANGE: Final = ("invalid_request_error", "invalid_value", "The file has 48231 bytes only.")
"""Type, code and message of an unsatisfiable range."""
