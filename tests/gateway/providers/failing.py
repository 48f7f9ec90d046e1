"""Refusals of each provider: a model that only one route serves here, and its responses for each kind of refusal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.emulators.base import Emulator

    Answer = tuple[int, Any, Mapping[str, str]]


def _openai(code: str | None, type_: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": "secret words", "type": type_, "param": None, "code": code}}


def _google(code: int, status: str, message: str = "secret words") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status}}


def _ark(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": "secret words Request id: 0217", "param": "", "type": ""}}


def _bria(code: int, message: str, details: str = "secret words") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "details": details}, "request_id": "r"}


def _cloudflare(code: int, message: str = "secret words") -> dict[str, Any]:
    return {"success": False, "errors": [{"code": code, "message": message}], "messages": [], "result": None}


def _stability(name: str) -> dict[str, Any]:
    return {"id": "e" * 32, "name": name, "errors": ["secret words"]}


def _detail(kind: str) -> dict[str, Any]:
    return {"detail": [{"loc": ["body", "prompt"], "msg": "secret words", "type": kind, "input": "secret"}]}


_PLAIN: Final = {"detail": "secret words"}


@dataclass(frozen=True, slots=True)
class Refusals:
    """Refusals of one route."""

    model: str
    answers: Mapping[str, Answer]
    """Provider responses to the submission, by the gateway's error code."""
    moderated: Mapping[str, Any] = field(default_factory=dict)
    """Attributes of the emulator for a refusal after acceptance, where the provider can do so."""
    byok: bool = False
    """The model has other routes here: the caller's own key selects this one."""

    def headers(self, route: str, emulator: Emulator) -> dict[str, str]:
        return {f"x-byok-{route}": emulator.key} if self.byok else {}


def _refusals(
    model: str, *, byok: bool = False, moderated: Mapping[str, Any] | None = None, **answers: Any
) -> Refusals:
    return Refusals(
        model,
        {code: (status, body, {}) for code, (status, body) in answers.items()},
        moderated or {},
        byok,
    )


ROUTES: Final[Mapping[str, Refusals]] = {
    "automatic1111": _refusals(
        "stability-ai/sdxl",
        byok=True,
        provider_credentials=(401, {"detail": "Incorrect username or password"}),
        provider_error=(500, {"error": "OutOfMemoryError", "detail": "", "body": "", "errors": "secret words"}),
    ),
    "bfl": _refusals(
        "bfl/flux-2-pro",
        moderated={"script": ("Content Moderated",)},
        provider_credentials=(403, {"detail": "Not authenticated - secret words"}),
        provider_billing=(402, _PLAIN),
        model_retired=(404, {"detail": "Not Found"}),
        provider_error=(500, _PLAIN),
    ),
    "bria": _refusals(
        "bria/fibo/generate-lite",
        moderated={"script": ({"code": 422, "message": "Moderated", "details": "visual_output_content_moderation"},)},
        moderation_blocked=(422, _bria(422, "Prompt moderation")),
        provider_credentials=(401, _bria(401, "Unauthorized")),
        provider_billing=(403, _bria(403, "Forbidden")),
        model_retired=(404, _bria(404, "Not found")),
        provider_error=(500, _bria(500, "Internal server error")),
    ),
    "bytedance": _refusals(
        "bytedance/seedream-5",
        moderated={"refused": [{"code": "OutputImageSensitiveContentDetected", "message": "secret words"}]},
        moderation_blocked=(400, _ark("InputTextSensitiveContentDetected")),
        provider_credentials=(401, _ark("AuthenticationError")),
        provider_billing=(403, _ark("AccountOverdueError")),
        model_retired=(404, _ark("InvalidEndpointOrModel.NotFound")),
        provider_error=(500, _ark("InternalServiceError")),
    ),
    "cloudflare": _refusals(
        "bfl/flux-2-dev",
        moderation_blocked=(
            400,
            _cloudflare(3030, "AiError: AiError: Your output has been flagged. Choose another."),
        ),
        provider_credentials=(401, _cloudflare(10000, "Authentication error")),
        provider_billing=(429, _cloudflare(3036, "AiError: Account limited")),
        model_retired=(404, _cloudflare(3042, "AiError: Model not found")),
        provider_error=(500, _cloudflare(7000, "No route for that URI")),
    ),
    "fal": _refusals(
        "stability-ai/sdxl",
        byok=True,
        moderated={"flagged": (True,)},
        moderation_blocked=(422, _detail("content_policy_violation")),
        provider_credentials=(401, _PLAIN),
        provider_billing=(402, _PLAIN),
        model_retired=(404, {"detail": "Application not found"}),
        provider_error=(400, _detail("downstream_service_error")),
    ),
    "google": _refusals(
        "google/imagen-3",
        moderated={"filtered": 1},
        moderation_blocked=(400, _google(400, "INVALID_ARGUMENT", "It violates Google's Responsible AI practices.")),
        provider_credentials=(403, _google(403, "PERMISSION_DENIED")),
        provider_billing=(400, _google(400, "FAILED_PRECONDITION", "Enable billing.")),
        model_retired=(404, _google(404, "NOT_FOUND")),
        provider_error=(500, _google(500, "INTERNAL")),
    ),
    "ideogram": _refusals(
        "ideogram/ideogram-v3",
        moderated={"unsafe": frozenset(range(100_000))},
        moderation_blocked=(422, {"error": "Prompt provided failed safety check"}),
        provider_credentials=(401, {"detail": "No authorization token provided", "status": 401}),
        provider_billing=(402, {"detail": "secret words", "status": 402}),
        model_retired=(404, {"detail": "Not Found", "status": 404}),
        provider_error=(502, {"detail": "secret words", "status": 502}),
    ),
    "openai": _refusals(
        "openai/dall-e-3",
        moderated={"blocked": "output"},
        moderation_blocked=(400, _openai("content_policy_violation")),
        provider_credentials=(401, _openai("invalid_api_key")),
        provider_billing=(429, _openai("insufficient_quota", "insufficient_quota")),
        model_retired=(404, _openai("model_not_found")),
        provider_error=(500, _openai(None, "server_error")),
    ),
    "recraft": _refusals(
        "recraft/recraft-v4",
        moderation_blocked=(400, b"the request was rejected: NSFW content"),
        provider_credentials=(401, b"request unauthorized"),
        provider_billing=(400, b"not enough credits"),
        model_retired=(404, b"404 page not found"),
        provider_error=(500, b"secret words"),
    ),
    "replicate": _refusals(
        "stability-ai/sdxl",
        byok=True,
        moderated={"flagged": 1},
        provider_credentials=(401, {"title": "Unauthenticated", "detail": "secret words", "status": 401}),
        provider_billing=(402, {"title": "Insufficient credit", "detail": "secret words", "status": 402}),
        model_retired=(422, {"title": "Invalid version or not permitted", "detail": "secret words", "status": 422}),
        provider_error=(504, {"detail": "secret words"}),
    ),
    "stability": _refusals(
        "stability-ai/stable-image-core",
        moderated={"finish": "CONTENT_FILTERED"},
        moderation_blocked=(403, _stability("content_moderation")),
        provider_credentials=(401, _stability("unauthorized")),
        provider_billing=(402, _stability("payment_required")),
        model_retired=(404, _stability("not_found")),
        provider_error=(500, b"secret words"),
    ),
}
