"""Gemini image models: one picture a call by `:generateContent`. What is blocked comes with status 200.

Source: ai.google.dev/gemini-api/docs/image-generation and google-genai 3.4.0, read 2026-11-22.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imagegateway.providers.google import failures, wire
from imagegateway.providers.google.api import Api
from imagegateway.providers.google.catalog import TIER_PRICES, token_cost
from imagegateway.providers.google.sizes import Tiered
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.kit.adapter import Finished, HttpRequest, ResultMedia, Unknown
from imagegateway.providers.kit.error_table import Failure, RefusedPart, moderation_failure, refused_part
from imagegateway.providers.kit.parsing import parse_whole_number
from imagegateway.providers.kit.usage import complete
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Cost, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.adapter import Call, HttpResponse, Outcome
    from imagegateway.v1.job_pb2 import TokenDetails

_HARMS: Final = (
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
)
_NO_PICTURE: Final = frozenset(
    {"NO_IMAGE", "IMAGE_OTHER", "OTHER", "MAX_TOKENS", "STOP", "FINISH_REASON_UNSPECIFIED", ""}
)
_JPEG: Final = b"\xff\xd8"
_MAX_SEED: Final = 1 << 31


class Gemini(Api):
    """`models/{model}:generateContent`."""

    def submit(self, call: Call) -> HttpRequest:
        unsupported_options.warn_fields(call, "input_fidelity")
        task = call.task
        parts: list[dict[str, Any]] = [
            {"inlineData": {"mimeType": picture.media_type, "data": picture.base64()}} for picture in call.inputs
        ]
        config: dict[str, Any] = {"responseModalities": ["IMAGE"]}
        image = _image_config(call)
        if image:
            config["imageConfig"] = image
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
        answer = wire.answer(response)
        candidates = wire.objects(answer.get("candidates"))
        pictures = tuple(data for data in map(_picture, candidates) if data)
        if pictures:
            _warn_of_result(call, pictures)
            seed = None if call.seed is None else call.seed % _MAX_SEED
            usage = _usage(call, answer)
            found = tuple(ResultMedia(data=data, seed=seed) for data in pictures)
            return Finished(found, usage=usage, cost=_cost(call, usage))
        if wire.at(answer, "promptFeedback", "blockReason"):
            return moderation_failure("Google", refused_part(call), may_be_billed=True)
        if not candidates:
            raise KeyError("candidates")
        why = str(candidates[0].get("finishReason") or "").upper()
        if why in failures.BLOCKED:
            return moderation_failure("Google", RefusedPart.RESULT, may_be_billed=True)
        if why in _NO_PICTURE or why.startswith("MALFORMED_"):
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_ERROR,
                "Google's model answered without an image.",
                may_be_billed=True,
                retry_once=True,
            )
        return Unknown(why)


def _picture(candidate: Mapping[str, Any]) -> bytes | None:
    """The last picture of a candidate that is no thought."""
    parts = wire.objects(wire.at(candidate, "content", "parts"))
    blobs = [part["inlineData"] for part in parts if part.get("inlineData") and not part.get("thought")]
    return wire.decoded(blobs[-1]["data"]) if blobs else None


def _warn_of_result(call: Call, pictures: tuple[bytes, ...]) -> None:
    """Google chooses the format: only the picture tells whether its compression could be set."""
    task = call.task
    if task.HasField("output_compression") and task.output_format == "jpeg" and pictures[0].startswith(_JPEG):
        message = f"{call.model.id} made its own JPEG; output_compression was ignored."
        call.warn("unsupported_parameter", "output_compression", message)


def _image_config(call: Call) -> dict[str, str]:
    """Shape and tier. A shape alone leaves the tier to Google, as nothing was said of the pixels."""
    task, sizes = call.task, call.model.sizes
    if not task.width or not isinstance(sizes, Tiered):
        return {}
    shape, tier = sizes.labels[sizes.nearest(task.width, task.height)]
    if len(sizes.tiers) == 1 or task.aspect_ratio:
        return {"aspectRatio": shape}
    return {"aspectRatio": shape, "imageSize": tier}


def _cost(call: Call, usage: Usage | None) -> Cost | None:
    """By the tier; by the tokens where tiers have no price."""
    tier = _image_config(call).get("imageSize", "1K")
    amount = TIER_PRICES.get(call.route.native_id, {}).get(tier)
    if amount is None and usage is not None:
        amount = token_cost(call.route.native_id, usage)
    return None if amount is None else Cost(amount=amount, currency="USD", estimated=True)


def _usage(call: Call, answer: Mapping[str, Any]) -> Usage | None:
    counted = answer.get("usageMetadata")
    if not isinstance(counted, dict):
        return None
    made = parse_whole_number(counted.get("candidatesTokenCount"))
    usage = Usage(
        input_tokens=parse_whole_number(counted.get("promptTokenCount")),
        output_tokens=None if made is None else made + wire.count(counted.get("thoughtsTokenCount")),
        total_tokens=parse_whole_number(counted.get("totalTokenCount")),
    )
    _split(usage.input_tokens_details, counted.get("promptTokensDetails"))
    _split(usage.output_tokens_details, counted.get("candidatesTokensDetails"))
    return complete(usage, text_only=not call.inputs)


def _split(details: TokenDetails, kinds: Any) -> None:
    """Add up the tokens of each kind; a kind that is not listed among others has none."""
    if wire.objects(kinds):
        details.text_tokens = details.image_tokens = 0
    for kind in wire.objects(kinds):
        match kind.get("modality"):
            case "TEXT":
                details.text_tokens += wire.count(kind.get("tokenCount"))
            case "IMAGE":
                details.image_tokens += wire.count(kind.get("tokenCount"))
