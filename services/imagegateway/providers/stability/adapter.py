"""Stability AI's REST API: a multipart request for each image, which most services return in the response."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import pybase64
from imagegateway.platform.errors import invalid, missing
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
from imagegateway.providers.kit.parsing import form_fields, parse_seed
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.http_messages import HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome

_POLL_INTERVAL: Final = 10.0
"""Shortest interval of polls that Stability allows, in seconds."""
_BLOCK_SECONDS: Final = 60.0
"""Time for which Stability blocks a key that exceeds the rate limit."""
_MAX_BODY: Final = 10 * 1024 * 1024
_MIN_SIDE: Final = 64
_MAX_PIXELS: Final = 9_437_184
_MAX_SEED: Final = 4_294_967_294
_STRENGTH: Final = 0.65
"""Default distance of an edit from its input, 0 to 1: Stability requires one, OpenAI's API has no field for it."""

# Fields of the input images by service; other services use `image`.
_INPUTS: Final[Mapping[str, tuple[str, ...]]] = {
    "control/style-transfer": ("init_image", "style_image"),
    "edit/replace-background-and-relight": ("subject_image", "background_reference"),
}
# Field of the prompt by service; other services use `prompt`. Empty: the service accepts no prompt.
_PROMPTS: Final[Mapping[str, str]] = {
    "edit/erase": "",
    "edit/remove-background": "",
    "upscale/fast": "",
    "edit/replace-background-and-relight": "background_prompt",
}
# Further fields of requests with an input image, by service.
_EDIT_FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {"generate/sd3": {"mode": "image-to-image"}}
_STRONG: Final = frozenset({"generate/ultra", "generate/sd3"})
"""Services that require a strength with an input image."""
_PAIRED: Final = frozenset({"control/style-transfer"})
"""Services that require all their input images."""
_RATIOED: Final = frozenset({"generate/ultra", "generate/core", "generate/sd3", "control/style"})
"""Services that accept an aspect ratio."""
_FOLLOW_INPUT: Final = frozenset({"generate/sd3"})
"""Services of `_RATIOED` that refuse an aspect ratio with an input image: the result has the input's."""
_SEEDLESS: Final = frozenset({"edit/remove-background", "upscale/fast"})
_NAMED: Final = re.compile(r"([a-z_]+): ")
# The gateway's fields for Stability's native fields, where the names differ.
_PARAMS: Final[Mapping[str, str]] = {
    "style_preset": "style",
    "background_prompt": "prompt",
    **{name: "image" for names in _INPUTS.values() for name in names},
}


class StabilityAdapter(Adapter):
    """Adapter of Stability's API. A route's native id is the service's path, with `:` and a variant if any.

    Source: platform.stability.ai/docs/api-reference (v2beta), read 2026-11-22.
    """

    route = "stability"
    default_base_url = "https://api.stability.ai"
    timeout_seconds = 180.0
    errors = ErrorTable(
        provider="Stability AI",
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
        },
        by_code={"content_moderation": ErrorReason.ERROR_REASON_MODERATION_BLOCKED},
        # "Failed requests are not charged": Stability's own errors, which `read_error` recognizes by their name.
        uncharged=UnchargedErrors(
            frozenset(range(500, 600)), "https://platform.stability.ai/pricing", date(2026, 11, 22)
        ),
    )

    def auth_headers(self, credential: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {credential}"}

    def submit(self, call: Call) -> HttpRequest:
        task = call.task
        service, _, variant = call.route.native_id.partition(":")
        form: dict[str, Any] = {}
        defaults = {"strength": _STRENGTH} if call.inputs and service in _STRONG else {}
        prompt = _PROMPTS.get(service, "prompt")
        if prompt and task.prompt:
            form[prompt] = task.prompt
        elif task.prompt:
            call.warn("unsupported_parameter", "prompt", f"{call.model.id} does not use a prompt; it was ignored.")
        if variant:
            form["model"] = variant
        unsupported_options.warn_fields(call, "moderation", "input_fidelity")
        if task.negative_prompt:
            form["negative_prompt"] = task.negative_prompt
        if task.style:
            form["style_preset"] = task.style
        if call.inputs:
            form.update(_EDIT_FIELDS.get(service, {}))
        if task.HasField("strength"):
            form["strength"] = task.strength
        _set_aspect_ratio(call, service, form)
        if task.HasField("seed") and service not in _SEEDLESS:
            form["seed"] = _seed(call)
        if task.output_format:
            form["output_format"] = _format(call)
        names = _INPUTS.get(service, ("image",))
        if service in _PAIRED and len(call.inputs) < len(names):
            raise missing("image", f"{call.model.id} needs {len(names)} images.")
        files = [image.file_part(name, name) for name, image in zip(names, call.inputs, strict=False)]
        if call.mask is not None:
            files.append(call.mask.file_part("mask", "mask"))  # white = edit, as the gateway's
        _check_inputs(call)
        headers = {"accept": "image/*"}
        if task.user:
            headers["stability-client-user-id"] = hashlib.sha256(task.user.encode()).hexdigest()
        return HttpRequest(
            "POST",
            f"/v2beta/stable-image/{service}",
            fields=form_fields(call.with_options(form, defaults)),
            files=tuple(files),
            headers=headers,
            multipart=True,
        )

    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        body = response.json_object()
        if body.get("id") and not _encoded_image(body):
            return Pending(str(body["id"]), after=_POLL_INTERVAL)
        return _image_outcome(response)

    def poll(self, call: Call, ref: str) -> HttpRequest:
        return HttpRequest("GET", f"/v2beta/results/{ref}", headers={"accept": "image/*"})

    def read_poll(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        if response.status == 202:
            state = response.json_object().get("status", "in-progress")
            if state == "in-progress":
                return Pending(ref, after=_POLL_INTERVAL)
            return Unknown(str(state), after=_POLL_INTERVAL)
        return _image_outcome(response)

    def read_poll_error(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        if response.status in {404, 410}:
            return Unknown("not_found", after=_POLL_INTERVAL)
        match super().read_poll_error(call, ref, response):
            case Pending() as pending:
                return replace(pending, after=max(pending.after, _POLL_INTERVAL))
            case Failure() as failure:
                return replace(failure, may_be_billed=True)
            case other:
                return other

    def probe(self) -> HttpRequest:
        return HttpRequest("GET", "/v1/user/balance")

    def read_error(self, call: Call, response: HttpResponse) -> Failure:
        error = response.json_object()
        errors = error.get("errors")
        texts = errors if isinstance(errors, list) else []
        message = "; ".join(text for text in texts if isinstance(text, str))
        name = str(error.get("name") or "")
        if response.status == 403 and message and not name:
            name = "content_moderation"  # the only 403 with `errors`
        named = _NAMED.match(message)
        param = named[1] if named else ""
        failure = self.errors.lookup(response, code=name, detail=message, param=_PARAMS.get(param, param))
        if failure.reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
            return moderation_failure("Stability AI", refused_part(call, message), may_be_billed=False)
        if response.status == 429 and failure.retry_after is None:
            failure = replace(failure, retry_after=_BLOCK_SECONDS)
        if response.status >= 500 and not name:
            # A proxy's error does not show whether Stability accepted the request.
            failure = replace(failure, may_be_billed=True, retry_once=False)
        return failure


def _image_outcome(response: HttpResponse) -> Outcome:
    """Return the outcome of a response with an image: the body, with reason and seed as headers, or all as JSON."""
    body = response.json_object()
    reason = body.get("finish_reason") or response.headers.get("finish-reason", "SUCCESS")
    seed = parse_seed(body.get("seed") or response.headers.get("seed"))
    data = response.content if response.json is None else pybase64.b64decode(_encoded_image(body))
    match reason:
        case "SUCCESS":
            return Finished((ResultMedia(data=data, seed=seed),))
        case "CONTENT_FILTERED":
            # The response has status 200 and a blurred image.
            return moderation_failure("Stability AI", RefusedPart.RESULT, may_be_billed=True)
        case "ERROR":
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Stability AI failed to make the image.", may_be_billed=True
            )
        case other:
            return Unknown(str(other))


def _encoded_image(body: Mapping[str, Any]) -> str:
    return str(body.get("image") or body.get("result") or "").rpartition(",")[2]  # a `data:…,` prefix is optional


def _set_aspect_ratio(call: Call, service: str, form: dict[str, Any]) -> None:
    """Set the aspect ratio for services that accept one, and warn about a requested size that has no effect."""
    task = call.task
    if service in _RATIOED:
        if not task.aspect_ratio:
            return
        if call.inputs and service in _FOLLOW_INPUT:
            call.warn("size_adjusted", "size", f"{call.model.id} keeps the aspect ratio of the input image.")
        else:
            form["aspect_ratio"] = task.aspect_ratio
    elif call.is_resized:
        call.warn("size_adjusted", "size", f"{call.model.id} derives the size from its input.")


def _seed(call: Call) -> int:
    """Return the seed of this call's image, from 1 to `_MAX_SEED`: 0 means a random seed to Stability."""
    first = min(max(call.task.seed, 1), _MAX_SEED)
    return (first - 1 + call.index) % _MAX_SEED + 1


def _format(call: Call) -> str:
    """Return the format to request: PNG where the gateway converts, for other formats or a requested compression."""
    requested = call.task.output_format
    convert = call.task.HasField("output_compression") or requested not in call.model.output_formats
    return "png" if convert else requested


def _check_inputs(call: Call) -> None:
    """Raise GatewayError INVALID_VALUE for inputs over Stability's limits."""
    images = (*call.inputs, *([call.mask] if call.mask else []))
    if sum(len(image.data) for image in images) > _MAX_BODY:
        raise invalid("image", "Stability AI accepts requests of at most 10 MiB, images and mask together.")
    for image in call.inputs:
        if min(image.width, image.height) < _MIN_SIDE or image.width * image.height > _MAX_PIXELS:
            raise invalid(
                "image",
                f"Stability AI accepts images with sides from {_MIN_SIDE} pixels and {_MAX_PIXELS} pixels in all.",
            )
