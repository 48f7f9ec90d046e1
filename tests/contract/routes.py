"""What each provider's API answers, as data: a row for every API that an adapter speaks.

A new adapter needs its row here, or `test_table` fails. The tests of this folder then run over it by themselves.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.emulators.base import picture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PNG: Final = picture(16, 16)
MP4: Final = b"\0\0\0\x18ftypmp42" + bytes(64)
BASE: Final = "<base>"
"""In an answer: the provider's own origin."""
PICTURE: Final = "<results>/result.png"
VIDEO: Final = "<results>/result.mp4"
_B64: Final = base64.b64encode(PNG).decode()
_B64_MP4: Final = base64.b64encode(MP4).decode()


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a provider."""

    body: Any
    """Bytes, or what is sent as JSON."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def raw(self, base: str, results: str) -> bytes:
        data: bytes = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return data.replace(BASE.encode(), base.encode()).replace(b"<results>", results.encode())


@dataclass(frozen=True, slots=True)
class End:
    """How a task can end: the last answers, and what the gateway makes of them. An empty code means done."""

    answers: tuple[Answer, ...]
    code: str = ""
    accepted: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One API of a route."""

    family: str
    route: str
    model: str
    ends: Mapping[str, End]
    """By the provider's name of the state; \"done\" is the usual success."""
    accepted: Answer | None = None
    """What a submit is answered with where tasks are polled; None where the answer is the end."""
    working: tuple[Answer, ...] = ()
    """Answers to polls of a task that goes on."""
    unknown: tuple[str, Answer] | None = None
    """A state that the provider does not document, and the answer that holds it; None where there are no states."""
    cancel: tuple[str, str] | None = None
    """Method and path of the call that stops the task; None where the provider has none."""
    coded: Callable[[str], Answer] | None = None
    """The answer to a submit that carries an error code of the provider's."""
    worded: Mapping[str, Answer] = field(default_factory=dict)
    """Answers for codes of the table that stand for words or details, not for a code."""
    options: Mapping[str, Any] = field(default_factory=lambda: {"prompt": "theirs", "x_new": 7})
    """The caller's own options: one in place of a field of ours, one that is new."""
    under: str = ""
    """The object of the request's body that takes them."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """More fields of the task."""
    settings: Mapping[str, str] = field(default_factory=dict)
    empty: str = "provider_bad_response"
    """What an answer without any content means."""
    free: bool = False
    """A failure of the server costs nothing."""

    @property
    def name(self) -> str:
        return f"{self.family}-{self.model.rpartition('/')[2]}-{self.route}{'-tasks' if self.accepted else ''}" + (
            "-stream" if self.fields.get("partial_images") else ""
        )

    def script(self, *answers: Answer) -> list[Answer]:
        """The answers of a whole task that ends with these."""
        return [self.accepted, *answers] if self.accepted else list(answers)


def _done(*answers: Any) -> End:
    return End(tuple(answer if isinstance(answer, Answer) else Answer(answer) for answer in answers))


def _fails(code: str, *answers: Any, accepted: bool = True) -> End:
    return End(tuple(answer if isinstance(answer, Answer) else Answer(answer) for answer in answers), code, accepted)


# ---- shapes that several rows share


def _google_error(code: str, message: str = "m", status: int = 400, **detail: Any) -> Answer:
    return Answer({"error": {"code": status, "message": message, "status": code, "details": [detail]}}, status)


_GOOGLE: Final[Mapping[str, Any]] = {
    "family": "google",
    "route": "google",
    "coded": _google_error,
    "worded": {
        "api key": _google_error("INVALID_ARGUMENT", reason="API_KEY_INVALID"),
        "billing": _google_error("PERMISSION_DENIED", status=403, reason="BILLING_DISABLED"),
        "no quota": _google_error("RESOURCE_EXHAUSTED", "Quota exceeded, limit: 0", 429),
        "policy": _google_error("INVALID_ARGUMENT", "It violates Google's Responsible AI practices."),
    },
}


def _gemini(**candidate: Any) -> dict[str, Any]:
    return {"candidates": [candidate]}


_OPERATION: Final = "models/veo/operations/t1"


def _veo(**answer: Any) -> dict[str, Any]:
    return {"name": _OPERATION, "done": True, "response": {"generateVideoResponse": answer}}


def _omni(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "t1", "status": status, **more}


def _omni_video(**video: Any) -> dict[str, Any]:
    return _omni("completed", steps=[{"type": "model_output", "content": [{"type": "video", **video}]}])


def _ark_error(code: str, status: int = 400) -> Answer:
    return Answer({"error": {"code": code, "message": "m", "param": ""}}, status)


_ARK: Final[Mapping[str, Any]] = {
    "family": "bytedance",
    "route": "bytedance",
    "coded": _ark_error,
    "worded": {"moderation": _ark_error("InputTextSensitiveContentDetected")},
}


def _fal_error(code: str) -> Answer:
    return Answer({"detail": [{"loc": ["body", "prompt"], "msg": "m", "type": code}]}, 422)


_FAL: Final[Mapping[str, Any]] = {
    "route": "fal",
    "accepted": Answer(
        {
            "request_id": "t1",
            "status_url": f"{BASE}/app/requests/t1/status",
            "response_url": f"{BASE}/app/requests/t1",
            "cancel_url": f"{BASE}/app/requests/t1/cancel",
        }
    ),
    "working": (Answer({"status": "IN_QUEUE", "queue_position": 3}, 202), Answer({"status": "IN_PROGRESS"}, 202)),
    "ends": {
        "done": _done({"status": "COMPLETED"}, {"images": [{"url": PICTURE}], "seed": 5}),
        "bytes in the answer": _done({"status": "COMPLETED"}, {"images": [{"url": f"data:image/png;base64,{_B64}"}]}),
        "flagged": _fails(
            "moderation_blocked",
            {"status": "COMPLETED"},
            {"images": [{"url": PICTURE}], "has_nsfw_concepts": [True]},
        ),
        "failed, told by the status": _fails(
            "moderation_blocked",
            {"status": "COMPLETED", "error": "x", "error_type": "content_policy_violation"},
            Answer({"detail": "x"}, 422),
        ),
        "failed, told by the answer": _fails(
            "provider_timeout", {"status": "COMPLETED"}, Answer({"detail": "x", "error_type": "request_timeout"}, 504)
        ),
    },
    "unknown": ("PAUSED", Answer({"status": "PAUSED"})),
    "cancel": ("PUT", "/app/requests/t1/cancel"),
    "coded": _fal_error,
    "worded": {"account_locked": Answer({"detail": "User is locked. Reason: Exhausted balance."}, 403)},
}


def _stability(**answer: Any) -> dict[str, Any]:
    return {"image": _B64, **answer}


_STABILITY: Final[Mapping[str, Any]] = {
    "family": "stability",
    "route": "stability",
    "model": "stability-ai/stable-image-core",
    "worded": {"content_moderation": Answer({"id": "e", "name": "content_moderation", "errors": ["m"]}, 403)},
    "ends": {
        "done": _done(Answer(PNG, headers={"content-type": "image/png", "finish-reason": "SUCCESS", "seed": "7"})),
        "base64": _done(_stability(finish_reason="SUCCESS", seed=7)),
        "CONTENT_FILTERED": _fails("moderation_blocked", _stability(finish_reason="CONTENT_FILTERED")),
        "ERROR": _fails("provider_error", _stability(finish_reason="ERROR")),
    },
}


def _cloudflare_error(code: str, message: str = "m") -> Answer:
    return Answer({"success": False, "errors": [{"code": int(code), "message": message}], "result": None}, 400)


def _openai_error(code: str) -> Answer:
    return Answer({"error": {"message": "m", "type": "t", "param": None, "code": code}}, 400)


def _events(*events: Mapping[str, Any]) -> Answer:
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return Answer(body.encode(), headers={"content-type": "text/event-stream"})


_PARTIAL: Final = {"type": "image_generation.partial_image", "b64_json": _B64, "partial_image_index": 0}
_COMPLETED: Final = {"type": "image_generation.completed", "b64_json": _B64, "usage": {"total_tokens": 5}}


def _bria(status: str, **more: Any) -> dict[str, Any]:
    return {"status": status, "request_id": "t1", **more}


ROWS: Final = (
    Row(
        family="bfl",
        route="bfl",
        model="bfl/flux-2-pro",
        accepted=Answer({"id": "t1", "polling_url": f"{BASE}/v1/get_result?id=t1", "cost": 3}),
        working=(
            Answer({"status": "Pending"}),
            Answer({"status": "Reasoning"}),
            Answer({"status": "Generating", "progress": 0.5}),
        ),
        ends={
            "done": _done({"status": "Ready", "result": {"sample": PICTURE, "seed": 5}}),
            "Request Moderated": _fails("moderation_blocked", {"status": "Request Moderated"}),
            "Content Moderated": _fails("moderation_blocked", {"status": "Content Moderated"}),
            "Error": _fails("provider_error", {"status": "Error"}),
            "Failed": _fails("provider_error", {"status": "Failed"}),
        },
        unknown=("Task not found", Answer({"status": "Task not found"})),
    ),
    Row(
        family="bfl",
        route="cloudflare",
        model="bfl/flux-2-dev",
        ends={
            "done": _done({"result": {"image": _B64}, "success": True, "errors": []}),
            "bytes": _done(Answer(PNG, headers={"content-type": "image/png", "cf-ai-neurons": "12.5"})),
            "no picture": _fails("provider_bad_response", {"result": {}, "success": True}),
            "error with status 200": _fails("provider_error", {"success": False, "errors": [], "result": None}),
        },
        coded=_cloudflare_error,
        worded={
            "flagged": _cloudflare_error("3030", "AiError: Your output has been flagged. Choose another."),
            "bad picture": _cloudflare_error("3030", "AiError: Invalid input image"),
        },
        settings={"IMAGEGATEWAY_CLOUDFLARE_ACCOUNT_ID": "acc"},
    ),
    Row(
        family="bria",
        route="bria",
        model="bria/fibo/generate",
        accepted=Answer({"request_id": "t1", "status_url": f"{BASE}/v2/status/t1"}, 202),
        working=(Answer(_bria("IN_PROGRESS")),),
        ends={
            "done": _done(_bria("COMPLETED", result={"image_url": PICTURE, "seed": 5})),
            "ERROR": _fails("provider_error", _bria("ERROR", error={"code": 500, "message": "m"})),
            "FAILED": _fails("provider_error", _bria("FAILED")),
            "UNKNOWN": _fails("provider_error", _bria("UNKNOWN", error={"code": 500, "message": "m"})),
            "moderated": _fails(
                "moderation_blocked",
                _bria("ERROR", error={"code": 422, "message": "Moderated", "details": "output_moderation"}),
            ),
        },
        unknown=("PAUSED", Answer(_bria("PAUSED"))),
        coded=lambda code: Answer({"error": {"code": code, "message": "m"}}, 400),
        worded={"moderation": Answer({"error": {"code": 422, "message": "Prompt moderation"}}, 422)},
    ),
    Row(family="bria", model="bria/fibo/generate", **_FAL),
    Row(
        model="bytedance/seedream-5",
        ends={
            "done": _done({"data": [{"url": PICTURE, "size": "2048x2048"}], "usage": {"total_tokens": 5}}),
            "base64": _done({"data": [{"b64_json": _B64}]}),
            "refused": _fails(
                "moderation_blocked", {"data": [{"error": {"code": "OutputImageSensitiveContentDetected"}}]}
            ),
            "error with status 200": _fails("provider_error", {"error": {"code": "InternalServiceError"}}),
        },
        empty="provider_error",
        **_ARK,
    ),
    Row(
        model="bytedance/seedance-2.0",
        accepted=Answer({"id": "t1"}),
        working=(Answer({"id": "t1", "status": "queued"}), Answer({"id": "t1", "status": "running"})),
        ends={
            "done": _done({"id": "t1", "status": "succeeded", "content": {"video_url": VIDEO}, "seed": 5}),
            "failed": _fails("provider_error", {"status": "failed", "error": {"code": "InternalServiceError"}}),
            "refused": _fails(
                "moderation_blocked", {"status": "failed", "error": {"code": "OutputVideoSensitiveContentDetected"}}
            ),
            "cancelled": _fails("provider_error", {"status": "cancelled"}),
            "expired": _fails("provider_timeout", {"status": "expired"}),
        },
        unknown=("paused", Answer({"status": "paused"})),
        cancel=("DELETE", "/api/v3/contents/generations/tasks/t1"),
        options={"watermark": True, "x_new": 7},
        **_ARK,
    ),
    Row(
        model="google/gemini-2.5-flash-image",
        ends={
            "done": _done(
                _gemini(content={"parts": [{"text": "t"}, {"inlineData": {"mimeType": "image/png", "data": _B64}}]})
            ),
            "prompt blocked": _fails("moderation_blocked", {"promptFeedback": {"blockReason": "SAFETY"}}),
            **{
                reason: _fails("moderation_blocked", _gemini(finishReason=reason))
                for reason in (
                    *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST"),
                    *("SPII", "IMAGE_RECITATION", "RECITATION"),
                )
            },
            **{
                reason: _fails("provider_error", _gemini(finishReason=reason))
                for reason in ("NO_IMAGE", "IMAGE_OTHER", "OTHER", "MAX_TOKENS", "STOP", "MALFORMED_FUNCTION_CALL")
            },
        },
        unknown=("DREAMING", Answer(_gemini(finishReason="DREAMING"))),
        options={"generationConfig": {"responseModalities": ["TEXT"]}, "x_new": 7},
        **_GOOGLE,
    ),
    Row(
        model="google/imagen-3",
        ends={
            "done": _done({"predictions": [{"bytesBase64Encoded": _B64, "mimeType": "image/png"}]}),
            "filtered": _fails("moderation_blocked", {"predictions": [{"raiFilteredReason": "x"}]}),
            "all filtered": _fails("moderation_blocked", {}),
        },
        options={"parameters": {"sampleCount": 1, "includeRaiReason": False}, "x_new": 7},
        empty="moderation_blocked",
        **_GOOGLE,
    ),
    Row(
        model="google/veo-3.1-fast",
        accepted=Answer({"name": "models/veo/operations/t1"}),
        working=(
            Answer({"name": "models/veo/operations/t1"}),
            Answer({"name": "models/veo/operations/t1", "done": False}),
        ),
        ends={
            "done": _done(_veo(generatedSamples=[{"video": {"uri": VIDEO}}])),
            "filtered": _fails("moderation_blocked", _veo(raiMediaFilteredCount=1)),
            "nothing": _fails("provider_error", _veo()),
            "error": _fails("provider_error", {"done": True, "error": {"code": 13, "message": "m"}}),
            "error, refused": _fails(
                "moderation_blocked",
                {"done": True, "error": {"code": 3, "message": "violates our usage guidelines"}},
            ),
        },
        unknown=("not found", Answer({"error": {"code": 404, "status": "NOT_FOUND"}}, 404)),
        options={"parameters": {"sampleCount": 2}, "x_new": 7},
        **_GOOGLE,
    ),
    Row(
        model="google/gemini-omni-1.1-flash",
        accepted=Answer(_omni("in_progress")),
        working=(Answer(_omni("queued")), Answer(_omni("in_progress"))),
        ends={
            "done": _done(_omni_video(data=_B64_MP4)),
            "uri": _done(_omni_video(uri=VIDEO)),
            "file": _done(
                _omni_video(uri="https://generativelanguage.googleapis.com/v1beta/files/f1"),
                {"state": "PROCESSING"},
                {"state": "ACTIVE"},
            ),
            "file that failed": _fails("provider_error", _omni_video(uri="/v1beta/files/f1"), {"state": "FAILED"}),
            "no video": _fails("provider_error", _omni("completed", steps=[])),
            "failed with errors": _fails("provider_timeout", _omni("failed", errors=[{"code": 4, "message": "m"}])),
            **{
                status: _fails("provider_error", _omni(status))
                for status in ("failed", "incomplete", "cancelled", "requires_action", "requires_continuation")
            },
            "budget_exceeded": _fails("provider_billing", _omni("budget_exceeded")),
        },
        unknown=("dreaming", Answer(_omni("dreaming"))),
        cancel=("POST", "/v1beta/interactions/t1/cancel"),
        options={"input": "theirs", "x_new": 7},
        **_GOOGLE,
    ),
    Row(
        family="ideogram",
        route="ideogram",
        model="ideogram/ideogram-v3",
        ends={
            "done": _done({"data": [{"url": PICTURE, "is_image_safe": True, "seed": 5, "prompt": "p"}]}),
            "unsafe": _fails("moderation_blocked", {"data": [{"url": None, "is_image_safe": False}]}),
            "nothing": _fails("provider_bad_response", {"data": []}),
        },
    ),
    Row(
        family="ideogram",
        route="ideogram",
        model="ideogram/ideogram-v4.5",
        accepted=Answer({"generation_id": "t1"}),
        working=(Answer({"status": "pending"}),),
        ends={
            "done": _done({"status": "completed", "data": [{"url": PICTURE, "is_image_safe": True}]}),
            "failed": _fails("provider_error", {"status": "failed"}),
        },
        unknown=("paused", Answer({"status": "paused"})),
    ),
    Row(
        family="openai",
        route="openai",
        model="openai/gpt-image-2",
        ends={
            "done": _done({"created": 1, "data": [{"b64_json": _B64}], "usage": {"total_tokens": 5}}),
            "url": _done({"data": [{"url": PICTURE}]}),
            "nothing": _fails("provider_error", {"data": []}),
        },
        coded=_openai_error,
    ),
    Row(
        family="openai",
        route="openai",
        model="openai/gpt-image-2",
        ends={
            "done": _done(_events(_PARTIAL, _COMPLETED)),
            "nothing": _fails("provider_error", _events(_PARTIAL)),
            "error": _fails(
                "moderation_blocked",
                _events(
                    _PARTIAL,
                    {"error": {"code": "moderation_blocked", "moderation_details": {"moderation_stage": "output"}}},
                ),
            ),
        },
        coded=_openai_error,
        fields={"partial_images": 1},
    ),
    Row(
        family="recraft",
        route="recraft",
        model="recraft/recraft-v3",
        ends={
            "done": _done({"data": [{"url": PICTURE}], "credits": 40}),
            "base64": _done({"data": [{"b64_json": _B64}]}),
            "one picture": _done({"image": {"url": PICTURE}}),
            "nothing": _fails("provider_bad_response", {"data": []}),
        },
        worded={
            "refused content": Answer(b"the request was rejected: NSFW content", 400),
            "no units": Answer(b"not enough credits", 400),
        },
    ),
    Row(unknown=("MAYBE", Answer(_stability(finish_reason="MAYBE"))), **_STABILITY),
    Row(
        accepted=Answer({"id": "t1"}),
        working=(Answer({"id": "t1", "status": "in-progress"}, 202),),
        unknown=("paused", Answer({"id": "t1", "status": "paused"}, 202)),
        **_STABILITY,
    ),
    Row(
        family="stability",
        route="replicate",
        model="stability-ai/sdxl",
        accepted=Answer({"id": "t1", "status": "starting"}, 201),
        working=(Answer({"id": "t1", "status": "starting"}), Answer({"id": "t1", "status": "processing"})),
        ends={
            "done": _done({"id": "t1", "status": "succeeded", "output": [PICTURE]}),
            "no output": _fails("provider_bad_response", {"status": "succeeded", "output": None}),
            "failed": _fails("provider_error", {"status": "failed", "error": "CUDA"}),
            "refused": _fails("moderation_blocked", {"status": "failed", "error": "NSFW content detected"}),
            "canceled": _fails("cancelled", {"status": "canceled"}),
            "aborted": _fails("provider_timeout", {"status": "aborted"}, accepted=False),
        },
        unknown=("paused", Answer({"status": "paused"})),
        cancel=("POST", "/v1/predictions/t1/cancel"),
        coded=lambda code: Answer({"title": code, "detail": "m", "status": 422}, 422),
        under="input",
    ),
    Row(family="stability", model="stability-ai/sdxl", **_FAL),
    Row(
        family="stability",
        route="automatic1111",
        model="stability-ai/sdxl",
        ends={
            "done": _done({"images": [_B64], "info": json.dumps({"all_seeds": [5]}), "parameters": {}}),
            "nothing": _fails("provider_error", {"images": [], "info": "{}"}),
        },
        coded=lambda code: Answer({"detail": code}, 404),
        free=True,
    ),
)
