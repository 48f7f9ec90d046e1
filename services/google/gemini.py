"""Gemini image models: one picture a call by `:generateContent`. What is blocked comes with status 200.

Source: ai.google.dev/gemini-api/docs/image-generation and google-genai 3.4.0, read 2026-11-22.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pybase64
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Cost, Usage

from services.common.adapter import Failure, Finished, Found, Outgoing, Unknown
from services.google.api import Api, merged
from services.google.catalog import TIER_PRICES
from services.google.sizes import Tiered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.v1.job_pb2 import TokenDetails

    from services.common.adapter import Call, Outcome, Reply

_HARMS: Final = (
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
)
_BLOCKED: Final = frozenset(
    {
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "SAFETY",
        "PROHIBITED_CONTENT",
        "BLOCKLIST",
        "SPII",
        "IMAGE_RECITATION",
        "RECITATION",
    }
)
_NO_PICTURE: Final = frozenset({"NO_IMAGE", "IMAGE_OTHER", "OTHER", "MAX_TOKENS", "STOP"})
_MAX_SEED: Final = 1 << 31


class Gemini(Api):
    """`models/{model}:generateContent`."""

    def submit(self, call: Call) -> Outgoing:
        task = call.task
        parts: list[dict[str, Any]] = [
            {"inlineData": {"mimeType": picture.media_type, "data": pybase64.b64encode_as_string(picture.data)}}
            for picture in call.inputs
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
        return Outgoing("POST", f"/models/{call.route.native}:generateContent", json=merged(body, call.options))

    def read_submit(self, call: Call, reply: Reply) -> Outcome:
        answer = reply.dict()
        candidates = answer.get("candidates")
        if not candidates:
            if "blockReason" in answer.get("promptFeedback", {}):
                return _blocked("prompt or an input picture", "prompt")
            raise KeyError("candidates")
        candidate = candidates[0]
        parts = candidate.get("content", {}).get("parts", [])
        pictures = [part["inlineData"] for part in parts if "inlineData" in part and not part.get("thought")]
        if pictures:
            seed = None if call.seed is None else call.seed % _MAX_SEED
            found = Found(data=pybase64.b64decode(pictures[-1]["data"], validate=True), seed=seed)
            return Finished((found,), usage=_usage(answer), cost=_cost(call))
        why = str(candidate.get("finishReason"))
        if why in _BLOCKED:
            return _blocked("result", "")
        if why in _NO_PICTURE or why.startswith("MALFORMED_"):
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_ERROR,
                "Google's model answered without a picture.",
                accepted=True,
                again=True,
            )
        return Unknown(why)


def _image_config(call: Call) -> dict[str, str]:
    """Shape and tier. A shape alone leaves the tier to Google, as nothing was said of the pixels."""
    task, sizes = call.task, call.model.sizes
    if not task.width or not isinstance(sizes, Tiered):
        return {}
    shape, tier = sizes.labels[sizes.nearest(task.width, task.height)]
    if len(sizes.tiers) == 1 or task.aspect_ratio:
        return {"aspectRatio": shape}
    return {"aspectRatio": shape, "imageSize": tier}


def _cost(call: Call) -> Cost | None:
    tier = _image_config(call).get("imageSize", "1K")
    price = TIER_PRICES.get(call.route.native, {}).get(tier)
    return None if price is None else Cost(amount=price, currency="USD", estimated=True)


def _blocked(what: str, param: str) -> Failure:
    return Failure(
        ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
        f"Google refused the {what} by its content policy.",
        param=param,
        accepted=True,
    )


def _usage(answer: Mapping[str, Any]) -> Usage | None:
    counted = answer.get("usageMetadata")
    if not isinstance(counted, dict):
        return None
    thoughts, made = counted.get("thoughtsTokenCount", 0), counted.get("candidatesTokenCount", 0)
    usage = Usage(
        input_tokens=counted.get("promptTokenCount", 0),
        output_tokens=made + thoughts,
        total_tokens=counted.get("totalTokenCount", 0),
    )
    _split(usage.input_tokens_details, counted.get("promptTokensDetails", []))
    _split(usage.output_tokens_details, counted.get("candidatesTokensDetails", []))
    return usage


def _split(details: TokenDetails, kinds: list[Mapping[str, Any]]) -> None:
    for kind in kinds:
        match kind["modality"]:
            case "TEXT":
                details.text_tokens += kind["tokenCount"]
            case "IMAGE":
                details.image_tokens += kind["tokenCount"]
