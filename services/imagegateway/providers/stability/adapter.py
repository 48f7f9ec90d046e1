"""Stability AI's REST API: one multipart request, one picture, mostly in the answer itself."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import pybase64
from imagegateway.platform.errors import invalid, missing
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.kit.adapter import Adapter, Finished, HttpRequest, Pending, ResultMedia, Unknown
from imagegateway.providers.kit.error_table import (
    ErrorTable,
    Failure,
    RefusedPart,
    UnchargedErrors,
    moderation_failure,
    refused_part,
)
from imagegateway.providers.kit.parsing import form_fields, parse_seed
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.adapter import Call, HttpResponse, Outcome

_PACE: Final = 10.0
"""Stability asks not to be asked more often for a result."""
_BLOCK_SECONDS: Final = 60.0
"""How long a key is blocked that went over the rate."""
_MAX_BODY: Final = 10 * 1024 * 1024
_MIN_SIDE: Final = 64
_MAX_PIXELS: Final = 9_437_184
_MAX_SEED: Final = 4_294_967_294
_STRENGTH: Final = 0.65
"""How much of the input is let go: the API asks for a value and OpenAI's has none."""

# Fields of the input pictures, by service; those not named take `image`.
_INPUTS: Final[Mapping[str, tuple[str, ...]]] = {
    "control/style-transfer": ("init_image", "style_image"),
    "edit/replace-background-and-relight": ("subject_image", "background_reference"),
}
# The field of the prompt, by service; those not named take `prompt`, an empty one means that there is none.
_PROMPTS: Final[Mapping[str, str]] = {
    "edit/erase": "",
    "edit/remove-background": "",
    "upscale/fast": "",
    "edit/replace-background-and-relight": "background_prompt",
}
# What an image from an image needs beside it, by service.
_FROM_PICTURE: Final[Mapping[str, Mapping[str, Any]]] = {"generate/sd3": {"mode": "image-to-image"}}
_STRONG: Final = frozenset({"generate/ultra", "generate/sd3"})
"""Services that want to know how much of the input is let go."""
_PAIRED: Final = frozenset({"control/style-transfer"})
"""Services that need all their pictures."""
_SHAPED: Final = frozenset({"generate/ultra", "generate/core", "generate/sd3", "control/style"})
"""Services that take a shape."""
_FOLLOW_INPUT: Final = frozenset({"generate/sd3"})
"""Those of them that follow their input, and refuse to be told another shape."""
_SEEDLESS: Final = frozenset({"edit/remove-background", "upscale/fast"})
_NAMED: Final = re.compile(r"([a-z_]+): ")
# The gateway's field for each of Stability's, where the names differ.
_PARAMS: Final[Mapping[str, str]] = {
    "style_preset": "style",
    "background_prompt": "prompt",
    **{name: "image" for names in _INPUTS.values() for name in names},
}


class StabilityAdapter(Adapter):
    """Source: platform.stability.ai/docs/api-reference (v2beta), read 2026-11-22.

    A route's native name is the service's path, with `:` and the variant where a service has several.
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
        # "Failed requests are not charged": Stability's own errors, which `read_error` tells by their name.
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
            call.warn("unsupported_parameter", "prompt", f"{call.model.id} works without a prompt; it was ignored.")
        if variant:
            form["model"] = variant
        unsupported_options.warn_fields(call, "moderation", "input_fidelity")
        if task.negative_prompt:
            form["negative_prompt"] = task.negative_prompt
        if task.style:
            form["style_preset"] = task.style
        if call.inputs:
            form.update(_FROM_PICTURE.get(service, {}))
        _shape(call, service, form)
        if task.HasField("seed") and service not in _SEEDLESS:
            form["seed"] = _seed(call)
        if task.output_format:
            form["output_format"] = _format(call)
        names = _INPUTS.get(service, ("image",))
        if service in _PAIRED and len(call.inputs) < len(names):
            raise missing("image", f"{call.model.id} needs {len(names)} images.")
        files = [picture.file_part(name, name) for name, picture in zip(names, call.inputs, strict=False)]
        if call.mask is not None:
            files.append(call.mask.file_part("mask", "mask"))  # white = change, as ours
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
        answer = response.json_object()
        if answer.get("id") and not _encoded(answer):
            return Pending(str(answer["id"]), after=_PACE)
        return _picture(response)

    def poll(self, call: Call, ref: str) -> HttpRequest:
        return HttpRequest("GET", f"/v2beta/results/{ref}", headers={"accept": "image/*"})

    def read_poll(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        if response.status == 202:
            state = response.json_object().get("status", "in-progress")
            return Pending(ref, after=_PACE) if state == "in-progress" else Unknown(str(state), after=_PACE)
        return _picture(response)

    def read_poll_error(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        if response.status in {404, 410}:
            return Unknown("not_found", after=_PACE)
        match super().read_poll_error(call, ref, response):
            case Pending() as pending:
                return replace(pending, after=max(pending.after, _PACE))
            case Failure() as failure:
                return replace(failure, may_be_billed=True)
            case other:
                return other

    def probe(self) -> HttpRequest:
        return HttpRequest("GET", "/v1/user/balance")

    def read_error(self, call: Call, response: HttpResponse) -> Failure:
        answer = response.json_object()
        problems = answer.get("errors")
        found = problems if isinstance(problems, list) else []
        words = "; ".join(problem for problem in found if isinstance(problem, str))
        name = str(answer.get("name") or "")
        if response.status == 403 and words and not name:
            name = "content_moderation"  # the only 403 that speaks in `errors`
        named = _NAMED.match(words)
        param = named[1] if named else ""
        failure = self.errors.lookup(response, code=name, detail=words, param=_PARAMS.get(param, param))
        if failure.reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
            return moderation_failure("Stability AI", refused_part(call, words), may_be_billed=False)
        if response.status == 429 and failure.retry_after is None:
            failure = replace(failure, retry_after=_BLOCK_SECONDS)
        if response.status >= 500 and not name:
            # Of a server in between: nobody knows what is behind it.
            failure = replace(failure, may_be_billed=True, retry_once=False)
        return failure


def _picture(response: HttpResponse) -> Outcome:
    """A finished picture: the body itself with how it ended and its seed as headers, or all of it as JSON."""
    answer = response.json_object()
    reason = answer.get("finish_reason") or response.headers.get("finish-reason", "SUCCESS")
    seed = parse_seed(answer.get("seed") or response.headers.get("seed"))
    data = response.content if response.json is None else pybase64.b64decode(_encoded(answer))
    match reason:
        case "SUCCESS":
            return Finished((ResultMedia(data=data, seed=seed),))
        case "CONTENT_FILTERED":
            # The picture comes blurred, with status 200.
            return moderation_failure("Stability AI", RefusedPart.RESULT, may_be_billed=True)
        case "ERROR":
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Stability AI failed to make the image.", may_be_billed=True
            )
        case other:
            return Unknown(str(other))


def _encoded(answer: Mapping[str, Any]) -> str:
    return str(answer.get("image") or answer.get("result") or "").rpartition(",")[2]  # behind `data:…,` if at all


def _shape(call: Call, service: str, form: dict[str, Any]) -> None:
    """The shape, for services that take one; whoever asked another for a size of its own is told."""
    task = call.task
    if service in _SHAPED:
        if not task.aspect_ratio:
            return
        if call.inputs and service in _FOLLOW_INPUT:
            call.warn("size_adjusted", "size", f"{call.model.id} keeps the shape of the input image.")
        else:
            form["aspect_ratio"] = task.aspect_ratio
    elif call.is_resized:
        call.warn("size_adjusted", "size", f"{call.model.id} chooses the size by its input.")


def _seed(call: Call) -> int:
    """The seed of this call's picture: 0 would mean a random one, and the last number is not taken."""
    first = min(max(call.task.seed, 1), _MAX_SEED)
    return (first - 1 + call.index) % _MAX_SEED + 1


def _format(call: Call) -> str:
    """What to ask for: the wanted format, or PNG for the gateway to convert, as it must for a stated quality."""
    wanted = call.task.output_format
    convert = call.task.HasField("output_compression") or wanted not in call.model.output_formats
    return "png" if convert else wanted


def _check_inputs(call: Call) -> None:
    pictures = (*call.inputs, *([call.mask] if call.mask else []))
    if sum(len(picture.data) for picture in pictures) > _MAX_BODY:
        raise invalid("image", "Stability AI takes requests of at most 10 MiB, images and mask together.")
    for picture in call.inputs:
        if min(picture.width, picture.height) < _MIN_SIDE or picture.width * picture.height > _MAX_PIXELS:
            raise invalid(
                "image",
                f"Stability AI takes images with sides from {_MIN_SIDE} pixels and {_MAX_PIXELS} pixels in all.",
            )
