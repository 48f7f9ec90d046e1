"""Adapter of Cloudflare Workers AI: one inline POST per image. FLUX.2 takes only multipart, FLUX.1 schnell JSON."""

from __future__ import annotations

import dataclasses
import re
from datetime import date
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pybase64
from imagegateway.media import images
from imagegateway.platform.errors import GatewayError
from imagegateway.providers.bfl.catalog import JSON_ONLY
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.kit.adapter import Adapter
from imagegateway.providers.kit.error_table import (
    ErrorTable,
    Failure,
    UnchargedErrors,
    moderation_failure,
    refused_part,
)
from imagegateway.providers.kit.http_messages import FilePart, HttpRequest
from imagegateway.providers.kit.outcomes import Finished, ResultMedia
from imagegateway.providers.kit.parsing import form_fields
from imagegateway.providers.pricing import stated_cost
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imagegateway.providers.kit.call import Call, InputImage
    from imagegateway.providers.kit.http_messages import HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome

_MAX_REFERENCE_SIDE: Final = 511
"""References must be under 512x512."""
_NANODOLLARS_PER_NEURON: Final = 11_000

# The code 3030 covers every error of the model, so only its text says which one.
_TEXTS: Final = (
    ("flagged", re.compile(r"has been flagged|nsfw", re.IGNORECASE)),
    ("bad image", re.compile(r"invalid input image|unable to decode image", re.IGNORECASE)),
)
_NOISE: Final = re.compile(r"^(?:AiError: )+|\s*\([0-9a-f-]{6,}\)$")
"""Prefixes of an error message, and the id at its end that changes with every call."""
_MAY_BE_BILLED: Final = frozenset({"3007", "3008", "3030"})
"""Codes after which the model may have run, so the call may be billed. The other known codes precede the model."""
_RETRY_ONCE: Final = frozenset({"3007", "3008"})
"""Codes of a timeout or an abort, by which Cloudflare states that it made no image."""


class CloudflareAdapter(Adapter):
    """Adapter of the route `cloudflare`.

    Source: developers.cloudflare.com, Workers AI's model pages and error table, read 2026-11-22.
    """

    route = "cloudflare"
    default_base_url = "https://api.cloudflare.com"
    version = "/client/v4"
    timeout_seconds = 120.0
    errors = ErrorTable(
        provider="Cloudflare",
        by_status={
            400: ErrorReason.ERROR_REASON_INVALID_VALUE,
            401: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            402: ErrorReason.ERROR_REASON_PROVIDER_BILLING,
            403: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            408: ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
            413: ErrorReason.ERROR_REASON_INVALID_IMAGE,
            429: ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
            503: ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
            504: ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
            521: ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
            522: ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
            523: ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
            524: ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
        },
        by_code={
            "971": ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
            "3003": ErrorReason.ERROR_REASON_INVALID_VALUE,
            "3006": ErrorReason.ERROR_REASON_INVALID_IMAGE,
            "3007": ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
            "3008": ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
            "3023": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            "3030": ErrorReason.ERROR_REASON_PROVIDER_ERROR,
            "3036": ErrorReason.ERROR_REASON_PROVIDER_BILLING,  # the free neurons of the day are used up
            "3039": ErrorReason.ERROR_REASON_INVALID_VALUE,  # a fine-tune lacks a file
            "3040": ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
            "3041": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            "3042": ErrorReason.ERROR_REASON_MODEL_RETIRED,
            "4006": ErrorReason.ERROR_REASON_PROVIDER_BILLING,  # 3036 as the live service sends it
            "5004": ErrorReason.ERROR_REASON_INVALID_VALUE,
            "5005": ErrorReason.ERROR_REASON_INVALID_VALUE,
            "5006": ErrorReason.ERROR_REASON_INVALID_VALUE,
            "5007": ErrorReason.ERROR_REASON_MODEL_RETIRED,
            "5016": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            "5018": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            "5019": ErrorReason.ERROR_REASON_INVALID_VALUE,
            "7000": ErrorReason.ERROR_REASON_PROVIDER_ERROR,
            "7003": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,  # the account id is wrong
            "9109": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            "10000": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            "10429": ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
            "flagged": ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
            "bad image": ErrorReason.ERROR_REASON_INVALID_IMAGE,
        },
        # Errors of Cloudflare's edge: the request did not reach the model.
        uncharged=UnchargedErrors(
            frozenset({503, 521, 523}),
            "https://developers.cloudflare.com/workers-ai/platform/errors/",
            date(2026, 11, 22),
        ),
    )

    def base_url(self, base: str, setting: Callable[[str], str]) -> str:
        """Return the base URL of the account; a configured URL that names an account stays unchanged.

        Raises GatewayError PROVIDER_NOT_CONFIGURED without an account id.
        """
        if "/accounts/" in base:
            return base
        account = setting("CLOUDFLARE_ACCOUNT_ID")
        if not account:
            raise GatewayError(
                ErrorReason.ERROR_REASON_PROVIDER_NOT_CONFIGURED,
                "The setting IMAGEGATEWAY_CLOUDFLARE_ACCOUNT_ID is empty.",
            )
        return f"{super().base_url(base, setting)}/accounts/{quote(account, safe='')}"

    def auth_headers(self, credential: str) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {credential}"}

    def submit(self, call: Call) -> HttpRequest:
        native, task = call.route.native_id, call.task
        path = f"/ai/run/{native}"
        unsupported_options.warn_fields(call, "moderation", "input_fidelity")
        if task.HasField("output_compression") and task.output_format == "jpeg":
            message = f"{call.model.id} makes its own JPEG; output_compression was ignored."
            call.warn("unsupported_parameter", "output_compression", message)
        if native in JSON_ONLY:
            return HttpRequest("POST", path, json=call.with_options({"prompt": task.prompt}))
        # Cloudflare's own default size differs from BFL's, so a size is always sent.
        width, height = (task.width, task.height) if task.width else call.model.sizes.default
        body: dict[str, Any] = {"prompt": task.prompt, "seed": call.seed, "width": width, "height": height}
        return HttpRequest(
            "POST", path, fields=form_fields(call.with_options(body)), files=_references(call), multipart=True
        )

    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        if response.headers.get("content-type", "").lower().startswith("image/"):
            return _finished(call, response, response.content)
        answer = response.json_object()
        if answer.get("success") is False:
            return self.read_error(call, response)
        encoded = (answer["result"] or {}).get("image")
        if not encoded:
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE,
                "Cloudflare returned no image.",
                may_be_billed=True,
                retry_once=True,
            )
        return _finished(call, response, pybase64.b64decode(encoded, validate=True))

    def probe(self) -> HttpRequest:
        return HttpRequest("GET", "/ai/models/search", query={"task": "Text-to-Image"})

    def read_error(self, call: Call, response: HttpResponse) -> Failure:
        errors = response.json_object().get("errors")
        first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
        code, text = str(first.get("code", "")), str(first.get("message", ""))
        if code == "3030" or code not in self.errors.by_code:
            code = next((name for name, pattern in _TEXTS if pattern.search(text)), code)
        failure = self.errors.lookup(response, code=code, detail=_NOISE.sub("", _NOISE.sub("", text)))
        if failure.reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
            return moderation_failure("Cloudflare", refused_part(call, text), may_be_billed=True)
        if code not in self.errors.by_code:
            return dataclasses.replace(failure, may_be_billed=failure.may_be_billed or response.status in {200, 408})
        return dataclasses.replace(failure, may_be_billed=code in _MAY_BE_BILLED, retry_once=code in _RETRY_ONCE)


def _references(call: Call) -> tuple[FilePart, ...]:
    """Return the input images as files, scaled down to Cloudflare's limit with a warning."""
    if any(_is_too_large(image) for image in call.inputs):
        call.warn(
            "image_adjusted",
            "image",
            "Cloudflare takes images under 512x512 pixels; larger ones were scaled down.",
        )
    return tuple(_downscaled(image).file_part(f"input_image_{index}") for index, image in enumerate(call.inputs))


def _is_too_large(image: InputImage) -> bool:
    return max(image.width, image.height) > _MAX_REFERENCE_SIDE


def _downscaled(image: InputImage) -> InputImage:
    if not _is_too_large(image):
        return image
    small = images.downscale(image.data, _MAX_REFERENCE_SIDE)
    return dataclasses.replace(image, data=small, media_type="image/png")


def _finished(call: Call, response: HttpResponse, data: bytes) -> Finished:
    # Estimated by the list price: part of each day's neurons is free.
    cost = stated_cost(response.headers.get("cf-ai-neurons"), _NANODOLLARS_PER_NEURON, estimated=True)
    return Finished((ResultMedia(data=data, seed=call.seed),), cost=cost)
