"""SDXL on a self-hosted server with AUTOMATIC1111's API: AUTOMATIC1111 or Forge."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pybase64
from imagegateway.platform.errors import invalid, unsupported
from imagegateway.providers.kit import reserved_options, unsupported_options
from imagegateway.providers.kit.adapter import Adapter
from imagegateway.providers.kit.error_table import ErrorTable, Failure
from imagegateway.providers.kit.http_messages import HttpRequest
from imagegateway.providers.kit.outcomes import Finished, ResultMedia
from imagegateway.providers.kit.parsing import parse_seed
from imagegateway.providers.stability.loras import loras_of
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.http_messages import HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome

_STEPS: Final = {"low": 20, "medium": 30, **dict.fromkeys(("high", "xhigh", "max"), 50)}
_DEFAULTS: Final = {"steps": _STEPS["medium"]}
_FORMATS: Final = {"png": "png", "jpeg": "jpg", "webp": "webp"}
# Tags by which a prompt loads files: LoRAs and similar networks, and the extra arguments of stable-diffusion.cpp.
_TAG: Final = re.compile(r"<\w+:[^>]*>|<(sd_cpp_extra_args)>.*?(?:</\1>|$)", re.DOTALL)
_FILE: Final = re.compile(r"[^<>:\x00-\x1f]{1,200}")
_NO_INIT: Final = "Init image not found"
# The gateway's fields for the server's native fields, where the names differ.
_PARAMS: Final = {
    "width": "size",
    "height": "size",
    "steps": "quality",
    "batch_size": "n",
    "n_iter": "n",
    "init_images": "image",
}


class Automatic1111Adapter(Adapter):
    """Adapter of AUTOMATIC1111's API. A route's native id is the checkpoint's file.

    The server responds when all images are made, after it has loaded the model: minutes without a fast GPU.

    Source: modules/api of AUTOMATIC1111 and Forge, read 2026-11-22.
    """

    route = "automatic1111"
    default_base_url = "http://127.0.0.1:7860"
    requires_key = False
    max_images_per_call = 10
    timeout_seconds = 900.0
    errors = ErrorTable(
        provider="The AUTOMATIC1111 server",
        by_status={
            400: ErrorReason.ERROR_REASON_INVALID_VALUE,
            401: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            403: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            404: ErrorReason.ERROR_REASON_PROVIDER_ERROR,  # started without --api
            413: ErrorReason.ERROR_REASON_FILE_TOO_LARGE,
            422: ErrorReason.ERROR_REASON_INVALID_VALUE,
            429: ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
            503: ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        },
        by_code={_NO_INIT: ErrorReason.ERROR_REASON_INVALID_IMAGE},
    )

    def auth_headers(self, credential: str) -> Mapping[str, str]:
        if ":" in credential:
            return {"authorization": f"Basic {pybase64.b64encode_as_string(credential.encode())}"}
        return {"authorization": f"Bearer {credential}"}

    def submit(self, call: Call) -> HttpRequest:
        task = call.task
        unsupported_options.warn_fields(call, "moderation", "input_fidelity")
        settings: dict[str, Any] = {"sd_model_checkpoint": call.route.native_id}
        if task.output_format:
            compressed = task.HasField("output_compression")
            settings["samples_format"] = "png" if compressed else _FORMATS[task.output_format]
        body: dict[str, Any] = {
            "prompt": "".join((_strip_tags(call, "prompt", task.prompt), *_lora_tags(call))),
            "negative_prompt": _strip_tags(call, "negative_prompt", task.negative_prompt),
            # Sequential: a batch multiplies the GPU memory by its size.
            "batch_size": 1,
            "n_iter": call.count,
            "override_settings": settings,
            "force_task_id": _task_id(call),
        }
        if task.quality in _STEPS:
            body["steps"] = _STEPS[task.quality]
        # The server's default is 512x512, not the model's default size.
        body["width"], body["height"] = (task.width, task.height) if task.width else call.model.sizes.default
        if call.seed is not None:
            body["seed"] = call.seed
        if call.inputs:
            body["init_images"] = [call.inputs[0].base64()]
        if call.mask is not None:
            body["mask"] = call.mask.base64()  # white = edit, as the gateway's
        action = "img2img" if call.inputs else "txt2img"
        return HttpRequest(
            "POST", f"/sdapi/v1/{action}", json=reserved_options.merge(body, _options(call), _DEFAULTS)
        )

    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        body = response.json_object()
        info = _info(body)
        # A grid of all images may precede them, and control maps may follow.
        first = int(info.get("index_of_first_image") or 0)
        images = body["images"][first : first + call.count]
        if not images:
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_ERROR, "The AUTOMATIC1111 server made no image.", may_be_billed=True
            )
        seeds = [*(info.get("all_seeds") or [info.get("seed")]), *[None] * len(images)]
        return Finished(
            tuple(
                ResultMedia(data=pybase64.b64decode(text.rpartition(",")[2]), seed=parse_seed(seed))
                for text, seed in zip(images, seeds, strict=False)
            ),
            missing=(_MISSING,) * (call.count - len(images)),
        )

    def interrupt(self, call: Call) -> HttpRequest:
        return HttpRequest("POST", "/sdapi/v1/interrupt")

    def inquire(self, call: Call) -> HttpRequest:
        # An interrupt stops any running call, also one of the server's own page or of another gateway.
        return HttpRequest("POST", "/internal/progress", json={"id_task": _task_id(call), "live_preview": False})

    def is_working_on(self, call: Call, response: HttpResponse) -> bool:
        return response.json_object().get("active") is True

    def probe(self) -> HttpRequest:
        return HttpRequest("GET", "/sdapi/v1/progress", query={"skip_current_image": "true"})

    def read_error(self, call: Call, response: HttpResponse) -> Failure:
        error = response.json_object()
        detail = error.get("detail")
        if isinstance(detail, list) and detail and isinstance(detail[0], dict):
            loc = detail[0].get("loc")
            path = [str(part) for part in loc[1:]] if isinstance(loc, list) else []
            param = ".".join([*(_PARAMS.get(name, name) for name in path[:1]), *path[1:]])
            failure = self.errors.lookup(response, detail=str(detail[0].get("msg", "")), param=param)
        else:
            message = str(detail or error.get("errors") or "")
            failure = self.errors.lookup(
                response, code=message, detail=message, param="image" if message == _NO_INIT else ""
            )
        # After a response the server no longer works on the call, and a self-hosted server does not bill.
        return replace(failure, may_be_billed=False)


_MISSING: Final = Failure(
    ErrorReason.ERROR_REASON_PROVIDER_ERROR, "The AUTOMATIC1111 server left this image out.", may_be_billed=True
)


def _task_id(call: Call) -> str:
    """Return the server's id of a call, by which `inquire` requests its progress."""
    return f"task({call.job_id}-{call.index})"


def _info(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the generation's parameters as the server reports them: JSON as text, which some servers leave empty."""
    info = body.get("info")
    if isinstance(info, str):
        try:
            info = json.loads(info)
        except ValueError:
            return {}
    return info if isinstance(info, dict) else {}


def _strip_tags(call: Call, param: str, text: str) -> str:
    """Return a prompt without tags, with a warning: they could load files that the caller may not use."""
    plain = _untagged(text)
    if plain != text:
        call.warn("parameter_adjusted", param, f"Tags in angle brackets were removed from {param}; use loras.")
    return str(plain)


def _options(call: Call) -> Mapping[str, Any]:
    """Return the caller's options without tags, with a warning: options may hold prompts too."""
    options = {name: _untagged(value) for name, value in call.options.items()}
    if options != call.options:
        call.warn("parameter_adjusted", "provider_options", "Tags in angle brackets were removed; use loras.")
    return options


def _untagged(value: Any) -> Any:
    match value:
        case dict():
            return {name: _untagged(item) for name, item in value.items()}
        case list():
            return [_untagged(item) for item in value]
        case str():
            while (stripped := _TAG.sub("", value)) != value:  # the remaining text may form a tag again
                value = stripped
    return value


def _lora_tags(call: Call) -> list[str]:
    tags = []
    for lora in loras_of(call):
        if lora.url:
            raise unsupported(
                f"{lora.param}.url", "A self-hosted server loads LoRAs from its own disk: send their id."
            )
        if not _FILE.fullmatch(lora.id):
            raise invalid(f"{lora.param}.id", f"{lora.param}.id must be a file name without extension.")
        tags.append(f" <lora:{lora.id.removesuffix('.safetensors')}:{lora.scale:g}>")
    return tags
