"""Recraft's API: one inline call for up to 6 images, in OpenAI's format, with separate paths for edits and tools."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pybase64
from imagegateway.media import images
from imagegateway.platform.errors import invalid_image, unsupported
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.kit.adapter import Adapter
from imagegateway.providers.kit.error_table import ErrorTable, Failure, moderation_failure, refused_part
from imagegateway.providers.kit.http_messages import HttpRequest
from imagegateway.providers.kit.outcomes import Finished, ResultMedia
from imagegateway.providers.kit.parsing import form_fields, parse_text
from imagegateway.providers.pricing import stated_cost
from imagegateway.providers.recraft.catalog import RATIOS
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.call import Call, InputImage
    from imagegateway.providers.kit.http_messages import HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome

_MAX_BYTES: Final = 5 * 1024 * 1024
_MAX_SIDE: Final = 4096
_MAX_PIXELS: Final = 16 * 1024 * 1024
_STRENGTH: Final = 0.5
"""Default distance of an edit from its input, 0 to 1."""
_NANODOLLARS_PER_CREDIT: Final = 1_000_000
_VECTOR: Final = "_vector"
_TOOLS: Final = frozenset({"removeBackground", "vectorize", "crispUpscale", "creativeUpscale"})
"""Native ids that are paths, not models: their only parameter is an image."""

# Refusals that share status 400 with invalid requests. Texts as reported; Recraft documents none of them.
_REFUSALS: Final = (
    ("refused content", re.compile(r"nsfw|moderat|content[ _-]polic|safety", re.IGNORECASE)),
    ("no units", re.compile(r"not[ _]enough[ _](credits|units)|insufficient|balance", re.IGNORECASE)),
)


class RecraftAdapter(Adapter):
    """Adapter of Recraft's API.

    Source: Recraft's OpenAPI document of 2026-08-22 and its API pages, read 2026-11-22.
    """

    route = "recraft"
    default_base_url = "https://external.api.recraft.ai"
    version = "/v1"
    max_images_per_call = 6
    # No 5xx is free: a response does not show whether Recraft accepted the request.
    errors = ErrorTable(
        provider="Recraft",
        by_status={
            400: ErrorReason.ERROR_REASON_INVALID_VALUE,
            401: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            402: ErrorReason.ERROR_REASON_PROVIDER_BILLING,
            403: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            404: ErrorReason.ERROR_REASON_MODEL_RETIRED,
            413: ErrorReason.ERROR_REASON_INVALID_IMAGE,
            422: ErrorReason.ERROR_REASON_INVALID_VALUE,
            429: ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        },
        by_code={
            "refused content": ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
            "no units": ErrorReason.ERROR_REASON_PROVIDER_BILLING,
        },
    )

    def auth_headers(self, credential: str) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {credential}"}

    def submit(self, call: Call) -> HttpRequest:
        native = call.route.native_id
        unsupported_options.warn_fields(call, "moderation", "input_fidelity")
        unsupported_options.warn_size(call)
        if native in _TOOLS:
            unsupported_options.warn_fields(call, "prompt")
            fields = form_fields(call.with_options({}))
            return HttpRequest("POST", f"/images/{native}", fields=fields, files=(_input(call).file_part("image"),))
        body = _body(call)
        if not call.inputs:
            return HttpRequest("POST", "/images/generations", json=call.with_options({**body, **_size(call)}))
        image = _input(call).file_part("image")
        if call.mask is None:
            own = {"strength": call.task.strength} if call.task.HasField("strength") else {}
            fields = form_fields(call.with_options({**body, **own}, {"strength": _STRENGTH}))
            return HttpRequest("POST", "/images/imageToImage", fields=fields, files=(image,))
        if call.task.HasField("strength"):
            call.warn("unsupported_parameter", "strength", f"{call.model.id} has no strength with a mask.")
        mask = replace(call.mask, data=images.binary_mask(call.mask.data)).file_part("mask", "mask")
        return HttpRequest(
            "POST", "/images/inpaint", fields=form_fields(call.with_options(body)), files=(image, mask)
        )

    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        body = response.json_object()
        entries = body["data"] if "data" in body else [body["image"]]
        images = tuple(image for image in (_parse_image(call, entry) for entry in entries) if image)
        if not images:
            return _MISSING
        return Finished(
            images,
            (_MISSING,) * (call.count - len(images)),
            cost=stated_cost(body.get("credits"), _NANODOLLARS_PER_CREDIT),
        )

    def probe(self) -> HttpRequest:
        return HttpRequest("GET", "/users/me")

    def read_error(self, call: Call, response: HttpResponse) -> Failure:
        native_code, message = _parse_error(response)
        code = ""
        if response.status in {400, 422}:
            code = next((code for code, pattern in _REFUSALS if pattern.search(f"{native_code} {message}")), "")
        failure = self.errors.lookup(response, code=code, detail=message)
        if failure.reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
            return moderation_failure("Recraft", refused_part(call, message), may_be_billed=False)
        return failure


def _body(call: Call) -> dict[str, Any]:
    task, native = call.task, call.route.native_id
    vector = native.endswith(_VECTOR)
    if vector and task.output_format not in {"", "svg"}:
        raise unsupported("output_format", f"{call.model.id} makes SVG and does not support {task.output_format}.")
    if task.output_format == "svg" and not vector:
        native, vector = native + _VECTOR, True
    # Recraft makes no JPEG, and WebP without a quality setting: the gateway converts these from lossless PNG.
    converted = task.output_format == "jpeg" or task.HasField("output_compression")
    image_format = "png" if converted else task.output_format
    fields = {
        "prompt": task.prompt,
        "model": native,
        "n": call.count,
        "style": task.style,
        "negative_prompt": task.negative_prompt,
        "random_seed": call.seed,
        "response_format": "url",
        "image_format": "" if vector else image_format,
    }
    return {name: value for name, value in fields.items() if value not in (None, "")}


def _size(call: Call) -> dict[str, str]:
    if call.task.aspect_ratio in RATIOS:
        return {"size": call.task.aspect_ratio}
    return {"size": f"{call.task.width}x{call.task.height}"} if call.task.width else {}


def _input(call: Call) -> InputImage:
    """Return the input image. Raises GatewayError for one over Recraft's limits."""
    (image,) = call.inputs
    if len(image.data) > _MAX_BYTES:
        raise invalid_image("image", "Recraft accepts images of at most 5 MB.")
    if max(image.width, image.height) > _MAX_SIDE or image.width * image.height > _MAX_PIXELS:
        raise invalid_image(
            "image", f"Recraft accepts images of at most {_MAX_SIDE} pixels a side and 16 megapixels."
        )
    return image


def _parse_image(call: Call, entry: Any) -> ResultMedia | None:
    """Return the image of a response's entry; None for an entry without one."""
    fields = entry if isinstance(entry, dict) else {}
    seed = call.seed if call.count == 1 else None  # Recraft does not report the seeds of several images
    revised_prompt = parse_text(fields.get("revised_prompt"))
    try:
        data = pybase64.b64decode("".join(parse_text(fields.get("b64_json")).split()), validate=True)
    except ValueError:
        return None
    url = parse_text(fields.get("url"))
    if data:
        return ResultMedia(data=data, revised_prompt=revised_prompt, seed=seed)
    return ResultMedia(url=url, revised_prompt=revised_prompt, seed=seed) if url else None


def _parse_error(response: HttpResponse) -> tuple[str, str]:
    """Return an error's code and message, from plain text or JSON; both empty for a proxy's HTML page."""
    if response.json is None:
        text = response.content[:300].decode(errors="replace").strip()
        return "", "" if text.startswith("<") else text
    body = response.json_object()
    error = body["error"] if isinstance(body.get("error"), dict) else body
    message = next((text for name in ("message", "error", "detail") if (text := parse_text(error.get(name)))), "")
    return parse_text(error.get("code")), message


_MISSING: Final = Failure(
    ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE,
    "Recraft returned fewer images than asked for.",
    may_be_billed=True,
)
