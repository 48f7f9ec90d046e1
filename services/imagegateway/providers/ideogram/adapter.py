"""Adapter of Ideogram's API, versions 1 and 2: one request makes up to 8 images."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from imagegateway.media import images
from imagegateway.platform.errors import invalid, invalid_image, unsupported
from imagegateway.providers.ideogram.calls import ENDPOINTS, RATIOS
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.kit.adapter import Adapter
from imagegateway.providers.kit.error_table import (
    ErrorTable,
    Failure,
    RefusedPart,
    UnchargedErrors,
    moderation_failure,
    refused_part,
)
from imagegateway.providers.kit.http_messages import HttpRequest
from imagegateway.providers.kit.outcomes import Finished, Pending, ResultMedia, Unknown
from imagegateway.providers.kit.parsing import form_fields, parse_seed, parse_text
from imagegateway.providers.sizes import has_same_aspect_ratio, nearest_aspect_ratio, parse_aspect_ratio
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imagegateway.providers.ideogram.calls import Endpoint
    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.http_messages import FilePart, HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome

_MAX_SEED: Final = (1 << 31) - 1
_POLL_INTERVAL: Final = 2.0
# Gateway parameters by Ideogram field, for the warning about a parameter that an endpoint does not have.
_PARAMS: Final = {
    "seed": "seed",
    "negative_prompt": "negative_prompt",
    "style_type": "style",
    "rendering_speed": "quality",
    "quality": "quality",
}


class IdeogramAdapter(Adapter):
    """Adapter of the route `ideogram`.

    Source: Ideogram's OpenAPI document of API v1 and its reference of API v2, read 2026-11-22.
    """

    route = "ideogram"
    default_base_url = "https://api.ideogram.ai"
    max_images_per_call = 8
    errors = ErrorTable(
        provider="Ideogram",
        by_status={
            400: ErrorReason.ERROR_REASON_INVALID_VALUE,
            401: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            402: ErrorReason.ERROR_REASON_PROVIDER_BILLING,
            403: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            404: ErrorReason.ERROR_REASON_MODEL_RETIRED,
            413: ErrorReason.ERROR_REASON_INVALID_IMAGE,
            422: ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
            429: ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
            503: ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        },
        # Ideogram's page: "A generation that fails is not billed". A proxy's error has no such guarantee.
        uncharged=UnchargedErrors(
            frozenset({500, 503}), "https://developer.ideogram.ai/ideogram-api/errors", date(2026, 11, 28)
        ),
    )

    def base_url(self, base: str, setting: Callable[[str], str]) -> str:
        # Each path names its version.
        return base.removesuffix("/v1").removesuffix("/v2")

    def auth_headers(self, credential: str) -> Mapping[str, str]:
        return {"Api-Key": credential}

    def submit(self, call: Call) -> HttpRequest:
        endpoint = _endpoint(call)
        body = _body(call, endpoint)
        files = _files(call, endpoint)
        if endpoint.json and not files:
            return HttpRequest("POST", endpoint.path, json=body)
        return HttpRequest("POST", endpoint.path, fields=form_fields(body), files=files, multipart=True)

    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        answer = response.json_object()
        if answer.get("data"):
            return _finished(call, answer)
        if answer.get("generation_id"):  # an asynchronous call, by the caller's option `async`
            return self._read_state(call, str(answer["generation_id"]), {"status": "pending", **answer})
        return _NO_IMAGE

    def poll(self, call: Call, ref: str) -> HttpRequest:
        return HttpRequest("GET", f"/v2/generations/{quote(ref, safe='')}")

    def read_poll(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        return self._read_state(call, ref, response.json_object())

    def read_poll_error(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        outcome = super().read_poll_error(call, ref, response)
        if not isinstance(outcome, Failure):
            return outcome
        if response.status not in {401, 402, 403}:
            # A generation that is not visible yet looks like an expired one.
            return Unknown(f"HTTP {response.status}")
        return replace(outcome, may_be_billed=True)

    @staticmethod
    def _read_state(call: Call, ref: str, answer: Mapping[str, Any]) -> Outcome:
        match str(answer["status"]).lower():
            case "pending":
                return Pending(ref, after=_POLL_INTERVAL)
            case "completed":
                return _finished(call, answer)
            case "failed":
                return Failure(
                    ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Ideogram failed to make the image.", may_be_billed=True
                )
            case other:
                return Unknown(other)

    def probe(self) -> HttpRequest:
        # A quote runs nothing and is not billed.
        return HttpRequest(
            "POST", "/v2/image/generate/ideogram-4-5", json={"prompt": "a fox"}, query={"dry_run": "true"}
        )

    def read_error(self, call: Call, response: HttpResponse) -> Failure:
        text = _error_text(response.json_object())
        failure = self.errors.lookup(response, detail=text)
        if failure.reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
            return moderation_failure("Ideogram", refused_part(call, text), may_be_billed=False)
        return failure


def _error_text(body: Mapping[str, Any]) -> str:
    """Return an error's text, in any of the forms of both API versions and of the proxies before them."""
    error = body.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return next(
        (text for text in (body.get("detail"), error, message, body.get("message")) if isinstance(text, str)), ""
    )


def _endpoint(call: Call) -> Endpoint:
    endpoints = ENDPOINTS[call.route.native_id]
    if call.mask is not None and "mask" in endpoints:
        return endpoints["mask"]
    if call.inputs:
        return endpoints["image"]
    if call.task.background == "transparent" and "transparent" in endpoints:
        return endpoints["transparent"]
    return endpoints["generate"]


def _body(call: Call, endpoint: Endpoint) -> dict[str, Any]:
    task = call.task
    body: dict[str, Any] = {endpoint.prompt: task.prompt} if endpoint.prompt else {}
    level = endpoint.levels.get(task.quality, "")
    ratio = task.aspect_ratio if task.aspect_ratio in RATIOS else ""
    if "resolution" not in endpoint.takes and task.width:
        ratio = ratio or nearest_aspect_ratio(RATIOS, task.width, task.height)
    requested: dict[str, Any] = {
        "seed": _seed(call),
        "negative_prompt": task.negative_prompt,
        "style_type": task.style.upper(),
        "rendering_speed": level,
        "quality": level,
        "num_images": call.count if call.count > 1 else None,
        "size": _size(call),
        "transparent_background": True if task.background == "transparent" else None,
    }
    if ratio and "aspect_ratio" in endpoint.takes:
        requested["aspect_ratio"] = ratio.replace(":", "x")
    elif task.width:
        requested["resolution"] = f"{task.width}x{task.height}"
    requested = {name: value for name, value in requested.items() if value not in (None, "")}
    body.update((name, value) for name, value in requested.items() if name in endpoint.takes)
    params = {_PARAMS[name] for name in requested if name in _PARAMS}
    params.update({"quality"} if task.quality and not level else ())
    for param in sorted(params - {_PARAMS[name] for name in _PARAMS if name in body}):
        call.warn("unsupported_parameter", param, f"Ideogram takes no {param} for this call; it was ignored.")
    _warn(call, endpoint, ratio)
    return call.with_options(body)


def _warn(call: Call, endpoint: Endpoint, ratio: str) -> None:
    """Add a warning for each requested option that the endpoint does not have.

    Raises GatewayError for a transparent background, which cannot be ignored.
    """
    task = call.task
    if task.background == "transparent" and not (endpoint.transparent or "transparent_background" in endpoint.takes):
        raise unsupported("background", f"{call.model.id} makes no transparent background for these inputs.")
    unsupported_options.warn_fields(call, "moderation", "input_fidelity")
    if not endpoint.prompt:
        unsupported_options.warn_fields(call, "prompt")
    if call.is_resized and not {"resolution", "size"} & endpoint.takes:
        call.warn("size_adjusted", "size", "Ideogram keeps the size of the input image for this call.")
    takes_ratio_only = "aspect_ratio" in endpoint.takes and "resolution" not in endpoint.takes
    if takes_ratio_only and ratio and not has_same_aspect_ratio((task.width, task.height), parse_aspect_ratio(ratio)):
        call.warn(
            "size_adjusted", "size", f"Ideogram takes only an aspect ratio for this call; the nearest is {ratio}."
        )


def _seed(call: Call) -> int | None:
    if call.seed is None:
        return None
    if call.task.seed > _MAX_SEED:
        raise invalid("seed", f"Ideogram takes seeds from 0 to {_MAX_SEED}.")
    return call.seed & _MAX_SEED


def _size(call: Call) -> str:
    """Return API v2's size: `source` for an edit that keeps its input's size; empty without a requested size."""
    if call.inputs and not call.is_resized:
        return "source"
    return f"{call.task.width}x{call.task.height}" if call.task.width else ""


def _files(call: Call, endpoint: Endpoint) -> tuple[FilePart, ...]:
    for image in call.inputs:
        if len(image.data) > endpoint.max_bytes:
            raise invalid_image("image", f"Ideogram takes images of at most {endpoint.max_bytes // 1_000_000} MB.")
    if sum(len(image.data) for image in call.inputs) > endpoint.max_total_bytes:
        megabytes = endpoint.max_total_bytes // 1_000_000
        raise invalid_image("image", f"Ideogram takes images of at most {megabytes} MB together.")
    files = tuple(image.file_part(endpoint.image) for image in call.inputs)
    if len(files) > 1 and endpoint.image != "images":
        raise unsupported("image", "Ideogram takes one image for this call.")
    if call.mask is not None:
        mask = replace(call.mask, data=images.binary_mask(call.mask.data, inverted=True))
        if endpoint.mask_needs_both_colours and images.is_uniform(mask.data):
            raise invalid_image(
                "mask", "Ideogram requires a mask that marks a part of the image, not all of it or nothing."
            )
        files = (*files, mask.file_part("mask", "mask"))
    return files


def _finished(call: Call, answer: Mapping[str, Any]) -> Outcome:
    results: list[ResultMedia] = []
    missing: list[Failure] = []
    for entry in answer["data"]:
        item = entry if isinstance(entry, dict) else {"is_image_safe": True}
        url, is_safe = item.get("url"), item.get("is_image_safe")
        if is_safe is False or (is_safe is None and not url):
            missing.append(_UNSAFE)
            continue
        if not isinstance(url, str) or not url:
            missing.append(_NO_IMAGE)
            continue
        prompt = parse_text(item.get("prompt"))
        results.append(
            ResultMedia(
                url=url,
                revised_prompt=prompt if prompt != call.task.prompt else "",
                seed=parse_seed(item.get("seed")),
            )
        )
    if not results:
        return missing[0] if missing else _NO_IMAGE
    missing += [_NO_IMAGE] * (call.count - len(results) - len(missing))
    # Ideogram bills images that fail its safety check, too.
    return Finished(tuple(results), tuple(missing), billed_missing=len(answer["data"]) - len(results))


_UNSAFE: Final = moderation_failure("Ideogram", RefusedPart.RESULT, may_be_billed=True)
_NO_IMAGE: Final = Failure(
    ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE,
    "Ideogram returned fewer images than requested.",
    may_be_billed=True,
)
