"""SDXL on Replicate: a prediction of a pinned version with up to 4 images, each behind a URL."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from imagegateway.platform.errors import invalid, unsupported
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.kit.adapter import Adapter
from imagegateway.providers.kit.error_table import (
    ErrorTable,
    Failure,
    RefusedPart,
    UnchargedErrors,
    moderation_failure,
)
from imagegateway.providers.kit.http_messages import HttpRequest
from imagegateway.providers.kit.outcomes import Finished, Pending, ResultMedia, Unknown
from imagegateway.providers.stability.loras import loras_of
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.http_messages import HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome

_FIRST_POLL: Final = 1.0
_POLL_INTERVAL: Final = 1.5
_RESETS: Final = re.compile(r"resets in ~?(\d+)\s*s")
_MODERATED: Final = ("nsfw", "flagged as sensitive", "e005")
_REFINED: Final = {"refine": "expert_ensemble_refiner"}
_QUALITIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "low": {"num_inference_steps": 25},
    **dict.fromkeys(("high", "xhigh", "max"), _REFINED),
}
_BAD_VERSION: Final = "invalid version or not permitted"
# A validation error in the message's text: "- input: prompt is required".
_LINE: Final = re.compile(r"- (input[\w.]*): (.*)")
_REQUIRED: Final = re.compile(r"(\w+) is required")
# The gateway's fields for the model's native fields, where the names differ.
_PARAMS: Final = {
    "num_outputs": "n",
    "width": "size",
    "height": "size",
    "replicate_weights": "loras",
    "lora_scale": "loras",
}
_BLOCKED: Final = moderation_failure("Replicate", RefusedPart.RESULT, may_be_billed=True)
_ENDS: Final = {
    "canceled": Failure(
        ErrorReason.ERROR_REASON_CANCELLED, "The prediction was cancelled at Replicate.", may_be_billed=True
    ),
    # The deadline passed before the prediction began, so it is not billed.
    "aborted": Failure(ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT, "Replicate did not begin the image in time."),
}


class ReplicateAdapter(Adapter):
    """Adapter of SDXL on Replicate. A route's native id is `owner/name:version`.

    Source: Replicate's OpenAPI document 1.0.0-a1 and the source of cog-sdxl, read 2026-11-22.
    """

    route = "replicate"
    default_base_url = "https://api.replicate.com"
    version = "/v1"
    max_images_per_call = 4
    timeout_seconds = 60.0
    errors = ErrorTable(
        provider="Replicate",
        by_status={
            400: ErrorReason.ERROR_REASON_INVALID_VALUE,
            401: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            402: ErrorReason.ERROR_REASON_PROVIDER_BILLING,
            403: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            404: ErrorReason.ERROR_REASON_MODEL_RETIRED,
            410: ErrorReason.ERROR_REASON_MODEL_RETIRED,
            413: ErrorReason.ERROR_REASON_FILE_TOO_LARGE,
            422: ErrorReason.ERROR_REASON_INVALID_VALUE,
            429: ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
            503: ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        },
        by_code={_BAD_VERSION: ErrorReason.ERROR_REASON_MODEL_RETIRED},
        # Only predictions are billed, and a 5xx without an id made none.
        uncharged=UnchargedErrors(
            frozenset(range(500, 600)) - {504}, "https://replicate.com/docs/topics/billing", date(2026, 11, 22)
        ),
    )

    def auth_headers(self, credential: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {credential}"}

    def submit(self, call: Call) -> HttpRequest:
        task = call.task
        unsupported_options.warn_fields(call, "moderation", "input_fidelity")
        fields: dict[str, Any] = {"prompt": task.prompt, "num_outputs": call.count}
        if task.negative_prompt:
            fields["negative_prompt"] = task.negative_prompt
        if task.width:
            fields["width"], fields["height"] = task.width, task.height
        if call.seed is not None:
            fields["seed"] = call.seed
        fields.update(_QUALITIES.get(task.quality, {}))
        if call.inputs:
            fields["image"] = call.inputs[0].data_url()
        if call.mask is not None:
            fields["mask"] = call.mask.data_url()  # white = edit, as the gateway's
        fields.update(_lora_fields(call))
        version = call.route.native_id.partition(":")[2]
        return HttpRequest("POST", "/predictions", json={"version": version, "input": call.with_options(fields)})

    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        return self._read(call, response, after=_FIRST_POLL)

    def poll(self, call: Call, ref: str) -> HttpRequest:
        return HttpRequest("GET", f"/predictions/{ref}")

    def read_poll(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        return self._read(call, response, after=_POLL_INTERVAL)

    def read_poll_error(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        if response.status in {404, 410}:
            return Unknown("not_found")
        outcome = super().read_poll_error(call, ref, response)
        return replace(outcome, may_be_billed=True) if isinstance(outcome, Failure) else outcome

    def cancel(self, call: Call, ref: str) -> HttpRequest | None:
        return HttpRequest("POST", f"/predictions/{ref}/cancel")

    def probe(self) -> HttpRequest:
        return HttpRequest("GET", "/account")

    def _read(self, call: Call, response: HttpResponse, after: float) -> Outcome:
        prediction = response.json_object()
        match prediction["status"]:
            case "starting" | "processing":
                return Pending(str(prediction["id"]), after=after)
            case "succeeded":
                return _output(call, prediction["output"])
            case "failed":
                error = str(prediction.get("error", "")).lower()
                if any(word in error for word in _MODERATED):
                    return _BLOCKED
                return Failure(
                    ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Replicate failed to make the image.", may_be_billed=True
                )
            case "canceled" | "aborted" as state:
                return _ENDS[state]
            case other:
                return Unknown(str(other))

    def read_error(self, call: Call, response: HttpResponse) -> Failure:
        error = response.json_object()
        detail = error.get("detail")
        detail = detail if isinstance(detail, str) else ""
        field, message = _parse_error(error, detail)
        failure = self.errors.lookup(
            response, code=str(error.get("title", "")).lower(), detail=message, param=_PARAMS.get(field, field)
        )
        resets = _RESETS.search(detail)
        if response.status == 429 and failure.retry_after is None and resets:
            failure = replace(failure, retry_after=float(resets[1]))
        if response.status >= 500 and error.get("id"):
            failure = replace(failure, may_be_billed=True, retry_once=False)
        return failure


def _parse_error(error: Mapping[str, Any], detail: str) -> tuple[str, str]:
    """Return the native field that an error names, empty without one, and the error's message."""
    invalid_fields = error.get("invalid_fields")
    line = _LINE.search(detail)
    if isinstance(invalid_fields, list) and invalid_fields and isinstance(invalid_fields[0], dict):
        first = invalid_fields[0]
        field, message = str(first.get("field", "")), str(first.get("description", ""))
    else:
        field, message = line.groups() if line else ("", detail)
    if field == "input":
        required = _REQUIRED.match(message)
        return (required[1] if required else ""), message
    return field.removeprefix("input."), message or detail


def _output(call: Call, output: Any) -> Outcome:
    """Return the outcome of a prediction's output: images in the order of their seeds, without flagged ones."""
    urls = [url for url in ([output] if isinstance(output, str) else output or ()) if isinstance(url, str)]
    if isinstance(output, dict) or not urls:
        return Failure(
            ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, "Replicate no longer has the image.", may_be_billed=True
        )
    missing = (_BLOCKED,) * (call.count - len(urls))
    # One seed makes the whole prediction; if flagged images are missing, the first image is unknown.
    seed = None if missing else call.seed
    images = (ResultMedia.from_url(url, seed if index == 0 else None) for index, url in enumerate(urls))
    return Finished(tuple(images), missing=missing)


def _lora_fields(call: Call) -> dict[str, Any]:
    loras = loras_of(call)
    if not loras:
        return {}
    if len(loras) > 1:
        raise unsupported("loras", "Replicate's SDXL loads one LoRA; send one, or use a fal key.")
    (lora,) = loras
    if not 0 <= lora.scale <= 1:
        raise invalid(f"{lora.param}.scale", "Replicate's SDXL accepts a scale from 0 to 1.")
    return {"replicate_weights": lora.url or lora.id, "lora_scale": lora.scale}
