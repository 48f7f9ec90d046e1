"""Gemini image models: one image per call by `:generateContent`. Blocked prompts and results come with status 200.

Source: ai.google.dev/gemini-api/docs/image-generation and google-genai 3.4.0, read 2026-11-22.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imagegateway.providers.google import failures, wire
from imagegateway.providers.google.api import Api
from imagegateway.providers.google.sizes import TieredSizes
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.kit.error_table import Failure, RefusedPart, moderation_failure, refused_part
from imagegateway.providers.kit.http_messages import HttpRequest
from imagegateway.providers.kit.outcomes import Finished, ResultMedia, Unknown
from imagegateway.providers.kit.parsing import parse_whole_number
from imagegateway.providers.kit.usage import complete
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.http_messages import HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome
    from imagegateway.v1.job_pb2 import TokenDetails

_HARMS: Final = (
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
)
_NO_IMAGE: Final = frozenset(
    {"NO_IMAGE", "IMAGE_OTHER", "OTHER", "MAX_TOKENS", "STOP", "FINISH_REASON_UNSPECIFIED", ""}
)
_JPEG: Final = b"\xff\xd8"
_MAX_SEED: Final = 1 << 31


class Gemini(Api):
    """API `models/{model}:generateContent`."""

    def submit(self, call: Call) -> HttpRequest:
        unsupported_options.warn_fields(call, "input_fidelity")
        task = call.task
        parts: list[dict[str, Any]] = [
            {"inlineData": {"mimeType": image.media_type, "data": image.base64()}} for image in call.inputs
        ]
        config: dict[str, Any] = {"responseModalities": ["IMAGE"]}
        image_config = _image_config(call)
        if image_config:
            config["imageConfig"] = image_config
        if call.seed is not None:
            config["seed"] = call.seed % _MAX_SEED
        body: dict[str, Any] = {
            "contents": [{"role": "user", "parts": [*parts, {"text": task.prompt}]}],
            "generationConfig": config,
        }
        if task.moderation == "low":
            body["safetySettings"] = [{"category": harm, "threshold": "BLOCK_ONLY_HIGH"} for harm in _HARMS]
        return HttpRequest("POST", f"/models/{call.route.native_id}:generateContent", json=call.with_options(body))

    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        answer = wire.body_of(response)
        candidates = wire.objects(answer.get("candidates"))
        images = tuple(data for data in map(_image_data, candidates) if data)
        if images:
            _warn_of_result(call, images)
            seed = None if call.seed is None else call.seed % _MAX_SEED
            results = tuple(ResultMedia(data=data, seed=seed) for data in images)
            return Finished(results, usage=_usage(call, answer))
        if wire.nested(answer, "promptFeedback", "blockReason"):
            return moderation_failure("Google", refused_part(call), may_be_billed=True)
        if not candidates:
            raise KeyError("candidates")
        finish_reason = str(candidates[0].get("finishReason") or "").upper()
        if finish_reason in failures.BLOCKED:
            return moderation_failure("Google", RefusedPart.RESULT, may_be_billed=True)
        if finish_reason in _NO_IMAGE or finish_reason.startswith("MALFORMED_"):
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_ERROR,
                "Google's model returned no image.",
                may_be_billed=True,
                retry_once=True,
            )
        return Unknown(finish_reason)


def _image_data(candidate: Mapping[str, Any]) -> bytes | None:
    """Return the last image of a candidate that is not a thought; None without one."""
    parts = wire.objects(wire.nested(candidate, "content", "parts"))
    blobs = [part["inlineData"] for part in parts if part.get("inlineData") and not part.get("thought")]
    return wire.decode_base64(blobs[-1]["data"]) if blobs else None


def _warn_of_result(call: Call, images: tuple[bytes, ...]) -> None:
    """Warn of an ignored compression. Google chooses the format, so only the result shows whether it applied."""
    task = call.task
    if task.HasField("output_compression") and task.output_format == "jpeg" and images[0].startswith(_JPEG):
        message = f"{call.model.id} made its own JPEG; output_compression was ignored."
        call.warn("unsupported_parameter", "output_compression", message)


def _image_config(call: Call) -> dict[str, str]:
    """Return aspect ratio and tier. An aspect ratio alone leaves the tier to Google: the caller named no pixels."""
    task, sizes = call.task, call.model.sizes
    if not task.width or not isinstance(sizes, TieredSizes):
        return {}
    ratio, tier = sizes.labels[sizes.nearest(task.width, task.height)]
    if len(sizes.tiers) == 1 or task.aspect_ratio:
        return {"aspectRatio": ratio}
    return {"aspectRatio": ratio, "imageSize": tier}


def _usage(call: Call, answer: Mapping[str, Any]) -> Usage | None:
    counted = answer.get("usageMetadata")
    if not isinstance(counted, dict):
        return None
    output = parse_whole_number(counted.get("candidatesTokenCount"))
    usage = Usage(
        input_tokens=parse_whole_number(counted.get("promptTokenCount")),
        output_tokens=None if output is None else output + wire.parse_count(counted.get("thoughtsTokenCount")),
        total_tokens=parse_whole_number(counted.get("totalTokenCount")),
    )
    _add_details(usage.input_tokens_details, counted.get("promptTokensDetails"))
    _add_details(usage.output_tokens_details, counted.get("candidatesTokensDetails"))
    return complete(usage, text_only=not call.inputs)


def _add_details(details: TokenDetails, kinds: Any) -> None:
    """Add up the tokens of each kind; a kind that a non-empty list omits counts 0 tokens."""
    if wire.objects(kinds):
        details.text_tokens = details.image_tokens = 0
    for kind in wire.objects(kinds):
        match kind.get("modality"):
            case "TEXT":
                details.text_tokens += wire.parse_count(kind.get("tokenCount"))
            case "IMAGE":
                details.image_tokens += wire.parse_count(kind.get("tokenCount"))
