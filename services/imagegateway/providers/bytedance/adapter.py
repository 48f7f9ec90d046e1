"""Adapter of BytePlus ModelArk: images inline, videos by tasks. There is no `n`, no mask and no negative prompt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pybase64
from imagegateway.platform.errors import invalid, invalid_image
from imagegateway.providers.bytedance import errors, video
from imagegateway.providers.bytedance.catalog import QUALITY_SIZES
from imagegateway.providers.catalog import Modality
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.kit.adapter import Adapter
from imagegateway.providers.kit.error_table import Failure
from imagegateway.providers.kit.http_messages import HttpRequest
from imagegateway.providers.kit.outcomes import Finished, Pending, ResultMedia, Unknown
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.call import Call, InputImage
    from imagegateway.providers.kit.http_messages import HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome

_MAX_SEED: Final = (1 << 31) - 1
_DEFAULTS: Final = {"watermark": False}
"""Replaceable fields: ModelArk marks its results visibly unless `watermark` is false."""


@dataclass(frozen=True, slots=True)
class NativeModel:
    """Differences between the native models that the catalog does not hold."""

    auto_size: str = "2K"
    """Size that leaves the pixels to the model; empty: the model requires pixels."""
    keeps_input_shape: bool = False
    """The model takes no size except `auto_size`: results keep their input's shape."""
    makes_sequences: bool = False
    """The model makes several related images unless the request disables sequences."""
    max_input_bytes: int = 10_000_000


_NATIVE_MODELS: Final[Mapping[str, NativeModel]] = {
    "seedream-5-0-260128": NativeModel(makes_sequences=True, max_input_bytes=30_000_000),
    "dola-seedream-5-0-pro-260628": NativeModel(max_input_bytes=30_000_000),
    "seedream-4-5-251128": NativeModel(makes_sequences=True),
    "seedream-4-0-250828": NativeModel(makes_sequences=True),
    "seedream-3-0-t2i-250415": NativeModel(auto_size=""),
    "seededit-3-0-i2i-250628": NativeModel(auto_size="adaptive", keeps_input_shape=True),
}


class BytedanceAdapter(Adapter):
    """Adapter of the route `bytedance`.

    Source: ModelArk's image API (1541523), video tasks and error codes (1299023), read 2026-11-22.
    """

    route = "bytedance"
    default_base_url = "https://ark.ap-southeast.bytepluses.com"
    version = "/api/v3"
    timeout_seconds = 300.0
    errors = errors.TABLE

    def auth_headers(self, credential: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {credential}"}

    def submit(self, call: Call) -> HttpRequest:
        if call.model.modality == Modality.VIDEO:
            return HttpRequest("POST", video.TASKS, json=call.with_options(video.body(call), _DEFAULTS))
        _warn(call)
        return HttpRequest("POST", "/images/generations", json=call.with_options(_body(call), _DEFAULTS))

    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        if call.model.modality == Modality.VIDEO:
            task_id = response.json_object()["id"]
            if not (task_id and isinstance(task_id, str)):
                raise TypeError("the task has no id")
            return Pending(task_id, after=video.POLL_INTERVAL)
        answer = response.json_object()
        if not answer:
            raise TypeError("the response is not an object")
        items = answer.get("data")
        if not (items and isinstance(items, list)):
            return errors.failure(call, response, errors.error_of(response))
        # The item of a refused image is an error.
        made = [item for item in items if isinstance(item, dict) and (item.get("url") or item.get("b64_json"))]
        missing = tuple(_missing(call, response, item) for item in items if item not in made)
        if not made:
            return missing[0]
        results = tuple(_result(call, item) for item in made)
        return Finished(results, missing, usage=video.usage(call, answer, "output_tokens"))

    def poll(self, call: Call, ref: str) -> HttpRequest:
        return HttpRequest("GET", f"{video.TASKS}/{quote(ref, safe='')}")

    def read_poll(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        return video.read(call, ref, response)

    def read_poll_error(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        if response.status == 404:
            # A task that is not visible yet looks like an expired one.
            return Unknown("not found")
        outcome = super().read_poll_error(call, ref, response)
        return replace(outcome, may_be_billed=True) if isinstance(outcome, Failure) else outcome

    def cancel(self, call: Call, ref: str) -> HttpRequest:
        return HttpRequest("DELETE", f"{video.TASKS}/{quote(ref, safe='')}")

    def probe(self) -> HttpRequest:
        return HttpRequest("GET", video.TASKS, query={"page_num": "1", "page_size": "1"})

    def read_error(self, call: Call, response: HttpResponse) -> Failure:
        return errors.failure(call, response, errors.error_of(response))


def _body(call: Call) -> dict[str, Any]:
    task, native = call.task, _NATIVE_MODELS[call.route.native_id]
    body: dict[str, Any] = {
        "model": call.route.native_id,
        "prompt": task.prompt,
        "response_format": "url",
    }
    size = f"{task.width}x{task.height}" if task.width and not native.keeps_input_shape else native.auto_size
    if task.quality and not task.width:
        size = QUALITY_SIZES[task.quality]
        if task.quality == "low":
            body["optimize_prompt_options"] = {"mode": "fast"}
    if size:
        body["size"] = size
    if native.makes_sequences:
        body["sequential_image_generation"] = "disabled"
    images = [_data_url(image, native.max_input_bytes) for image in call.inputs]
    if images:
        body["image"] = images[0] if len(images) == 1 else images
    if call.seed is not None:
        if task.seed > _MAX_SEED:
            raise invalid("seed", f"{call.model.id} takes seeds up to {_MAX_SEED}.")
        body["seed"] = call.seed % (_MAX_SEED + 1)
    if task.output_format and len(call.model.output_formats) > 1:
        # The gateway encodes WebP, and JPEG of a requested quality, from a lossless PNG.
        is_plain_jpeg = task.output_format == "jpeg" and not task.HasField("output_compression")
        body["output_format"] = "jpeg" if is_plain_jpeg else "png"
    return body


def _warn(call: Call) -> None:
    """Add a warning for each requested option that the model does not honour exactly."""
    unsupported_options.warn_fields(call, "moderation", "input_fidelity")
    if _NATIVE_MODELS[call.route.native_id].keeps_input_shape:
        unsupported_options.warn_size(call)
    task = call.task
    if task.quality and task.width:
        call.warn("unsupported_parameter", "quality", f"{call.model.id} takes quality only with size auto.")
    converted = {"webp", "jpeg"} if "png" in call.model.output_formats else {"webp"}
    if task.HasField("output_compression") and task.output_format not in converted:
        message = f"{call.model.id} makes its own JPEG; output_compression was ignored."
        call.warn("unsupported_parameter", "output_compression", message)


def _data_url(image: InputImage, max_bytes: int) -> str:
    if len(image.data) > max_bytes:
        raise invalid_image("image", f"ByteDance takes images of at most {max_bytes // 1_000_000} MB.")
    return image.data_url()


def _result(call: Call, item: Mapping[str, Any]) -> ResultMedia:
    seed = None if call.seed is None else call.seed % (_MAX_SEED + 1)
    if item.get("url"):
        return ResultMedia(url=item["url"], seed=seed)
    return ResultMedia(data=pybase64.b64decode(item["b64_json"], validate=True), seed=seed)


def _missing(call: Call, response: HttpResponse, item: Any) -> Failure:
    """Return the failure of an item without an image."""
    error = item.get("error") if isinstance(item, dict) else None
    if not error:
        message = "ByteDance returned no image."
        return Failure(ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, message, may_be_billed=True)
    return errors.failure(call, response, error if isinstance(error, dict) else {})
