"""Responses and cases that several APIs share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tests.providers.contract.api_case import B64, BASE, IMAGE_URL, PNG, Response, done, fails

if TYPE_CHECKING:
    from collections.abc import Mapping


def google_error(code: str, message: str = "m", status: int = 400, **detail: Any) -> Response:
    return Response({"error": {"code": status, "message": message, "status": code, "details": [detail]}}, status)


GOOGLE: Final[Mapping[str, Any]] = {
    "free": lambda status, _body: status == 503,
    "family": "google",
    "route": "google",
    "coded": google_error,
    "worded": {
        "api key": google_error("INVALID_ARGUMENT", reason="API_KEY_INVALID"),
        "billing": google_error("PERMISSION_DENIED", status=403, reason="BILLING_DISABLED"),
        "no quota": google_error("RESOURCE_EXHAUSTED", "Quota exceeded, limit: 0", 429),
        "policy": google_error("INVALID_ARGUMENT", "It violates Google's Responsible AI practices."),
    },
}


def gemini(**candidate: Any) -> dict[str, Any]:
    return {"candidates": [candidate]}


OPERATION: Final = "models/veo/operations/t1"


def veo(**response: Any) -> dict[str, Any]:
    return {"name": OPERATION, "done": True, "response": {"generateVideoResponse": response}}


def omni(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "t1", "status": status, **more}


def omni_video(**video: Any) -> dict[str, Any]:
    return omni("completed", steps=[{"type": "model_output", "content": [{"type": "video", **video}]}])


def ark_error(code: str, status: int = 400) -> Response:
    return Response({"error": {"code": code, "message": "m", "param": ""}}, status)


ARK: Final[Mapping[str, Any]] = {
    "family": "bytedance",
    "route": "bytedance",
    "coded": ark_error,
    "defaults": frozenset({"watermark"}),
    "worded": {"moderation": ark_error("InputTextSensitiveContentDetected")},
}


def fal_error(code: str) -> Response:
    return Response({"detail": [{"loc": ["body", "prompt"], "msg": "m", "type": code}]}, 422)


FAL: Final[Mapping[str, Any]] = {
    "route": "fal",
    "accepted": Response(
        {
            "request_id": "t1",
            "status_url": f"{BASE}/app/requests/t1/status",
            "response_url": f"{BASE}/app/requests/t1",
            "cancel_url": f"{BASE}/app/requests/t1/cancel",
        }
    ),
    "working": (Response({"status": "IN_QUEUE", "queue_position": 3}, 202), Response({"status": "IN_PROGRESS"}, 202)),
    "ends": {
        "done": done({"status": "COMPLETED"}, {"images": [{"url": IMAGE_URL}], "seed": 5}),
        "data URL in the response": done(
            {"status": "COMPLETED"}, {"images": [{"url": f"data:image/png;base64,{B64}"}]}
        ),
        "flagged": fails(
            "moderation_blocked",
            {"status": "COMPLETED"},
            {"images": [{"url": IMAGE_URL}], "has_nsfw_concepts": [True]},
        ),
        "failed, by the status": fails(
            "moderation_blocked",
            {"status": "COMPLETED", "error": "x", "error_type": "content_policy_violation"},
            Response({"detail": "x"}, 422),
        ),
        "failed, by the response": fails(
            "provider_timeout",
            {"status": "COMPLETED"},
            Response({"detail": "x", "error_type": "request_timeout"}, 504),
        ),
    },
    "unknown": ("PAUSED", Response({"status": "PAUSED"})),
    "cancel": ("PUT", "/app/requests/t1/cancel"),
    "coded": fal_error,
    "free": lambda status, body: status == 503 or (isinstance(body, dict) and "detail" in body),
    "worded": {"account_locked": Response({"detail": "User is locked. Reason: Exhausted balance."}, 403)},
}


def stability(**fields: Any) -> dict[str, Any]:
    return {"image": B64, **fields}


STABILITY: Final[Mapping[str, Any]] = {
    "free": lambda _status, body: isinstance(body, dict) and "name" in body,
    "family": "stability",
    "route": "stability",
    "model": "stability-ai/stable-image-core",
    "worded": {"content_moderation": Response({"id": "e", "name": "content_moderation", "errors": ["m"]}, 403)},
    "ends": {
        "done": done(Response(PNG, headers={"content-type": "image/png", "finish-reason": "SUCCESS", "seed": "7"})),
        "base64": done(stability(finish_reason="SUCCESS", seed=7)),
        "CONTENT_FILTERED": fails("moderation_blocked", stability(finish_reason="CONTENT_FILTERED")),
        "ERROR": fails("provider_error", stability(finish_reason="ERROR")),
    },
}


def cloudflare_error(code: str, message: str = "m") -> Response:
    return Response({"success": False, "errors": [{"code": int(code), "message": message}], "result": None}, 400)


def openai_error(code: str) -> Response:
    return Response({"error": {"message": "m", "type": "t", "param": None, "code": code}}, 400)


def events(*events: Mapping[str, Any]) -> Response:
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return Response(body.encode(), headers={"content-type": "text/event-stream"})


PARTIAL: Final = {"type": "image_generation.partial_image", "b64_json": B64, "partial_image_index": 0}
COMPLETED: Final = {"type": "image_generation.completed", "b64_json": B64, "usage": {"total_tokens": 5}}


def bria(status: str, **more: Any) -> dict[str, Any]:
    return {"status": status, "request_id": "t1", **more}
