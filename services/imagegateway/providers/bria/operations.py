"""Bria's operations: the fields of each, by native id, and the request body that both routes share.

Source: Bria's OpenAPI documents (editing, generation) and fal's model pages, read 2026-11-22.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from imagegateway.media.images import binary_mask
from imagegateway.platform.errors import invalid_image, missing
from imagegateway.providers.bria.catalog import LARGE_FROM, RATIOS
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.sizes import AspectRatioSizes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imagegateway.providers.kit.call import Call, InputImage

MAX_INPUT_BYTES: Final = 12_000_000
_ASPECT_RATIOS: Final = AspectRatioSizes(RATIOS, pixels=0)


@dataclass(frozen=True, slots=True)
class Operation:
    """Field names of one operation; an empty name: the operation does not have that field."""

    prompt: str = ""
    image: str = "image"
    takes_image_list: bool = False
    """The image field is a list of one image."""
    mask: str = ""
    mask_required: bool = False
    steps: Mapping[str, int] = field(default_factory=dict)
    """`steps_num` by quality."""
    takes_size: bool = False
    """The operation takes `aspect_ratio` and `resolution`; the results of others have their input's size."""
    output_type: bool = False


_MAX_STEPS: Final = dict.fromkeys(("high", "xhigh", "max", "hd"), 50)
_GENERATE: Final = Operation(
    prompt="prompt",
    image="images",
    takes_image_list=True,
    steps={"low": 35, **_MAX_STEPS},
    takes_size=True,
    output_type=True,
)
_EDIT: Final = Operation(
    prompt="instruction",
    image="images",
    takes_image_list=True,
    mask="mask",
    steps={"low": 20, **_MAX_STEPS},
    output_type=True,
)

_BRIA: Final[Mapping[str, Operation]] = {
    "/image/edit": _EDIT,
    "/image/generate": _GENERATE,
    "/image/generate/lite": replace(_GENERATE, steps={}),
    "/image/edit/erase": Operation(mask="mask", mask_required=True),
    "/image/edit/gen_fill": Operation(prompt="prompt", mask="mask", mask_required=True),
    "/image/edit/remove_background": Operation(),
    "/image/edit/erase_foreground": Operation(),
    "/image/edit/replace_background": Operation(prompt="prompt"),
    "/image/edit/blur_background": Operation(),
    "/image/edit/enhance": Operation(),
    "/image/edit/increase_resolution": Operation(),
    "/image/edit/crop_foreground": Operation(),
    "/image/edit/add_object_by_text": Operation(prompt="instruction"),
    "/image/edit/replace_object_by_text": Operation(prompt="instruction"),
    "/image/edit/blend": Operation(prompt="instruction"),
    "/image/edit/erase_by_text": Operation(prompt="object_name"),
    "/image/edit/rewrite_text": Operation(prompt="new_text"),
    "/image/edit/reseason": Operation(prompt="season"),
    "/image/edit/restore": Operation(),
    "/image/edit/sketch_to_colored_image": Operation(),
}
_FAL: Final[Mapping[str, Operation]] = {
    "bria/fibo-edit/edit": Operation("instruction", "image_url", mask="mask_url", steps=_EDIT.steps),
    "bria/fibo/generate": Operation("prompt", "image_url", steps=_GENERATE.steps, takes_size=True),
    "fal-ai/bria/eraser": Operation("", "image_url", mask="mask_url", mask_required=True),
    "fal-ai/bria/genfill": Operation("prompt", "image_url", mask="mask_url", mask_required=True),
    "fal-ai/bria/background/remove": Operation("", "image_url"),
    "fal-ai/bria/background/replace": Operation("prompt", "image_url"),
    "bria/fibo-edit/add_object_by_text": Operation("instruction", "image_url"),
    "bria/fibo-edit/replace_object_by_text": Operation("instruction", "image_url"),
    "bria/fibo-edit/blend": Operation("instruction", "image_url"),
    "bria/fibo-edit/erase_by_text": Operation("object_name", "image_url"),
    "bria/fibo-edit/rewrite_text": Operation("new_text", "image_url"),
    "bria/fibo-edit/reseason": Operation("season", "image_url"),
    "bria/fibo-edit/restore": Operation("", "image_url"),
    "bria/fibo-edit/sketch_to_colored_image": Operation("", "image_url"),
}
OPERATIONS: Final = {**_BRIA, **_FAL}
"""Operations of both routes, by native id."""
PROMPT_FIELDS: Final = frozenset(operation.prompt for operation in OPERATIONS.values() if operation.prompt)


def arguments(call: Call, encode: Callable[[InputImage], str]) -> dict[str, Any]:
    """Return the request body of a call's operation, with a warning for each option that the operation lacks.

    `encode` returns an image as the route takes it. Raises GatewayError for a missing mask and for images over
    Bria's limit.
    """
    task, operation = call.task, OPERATIONS[call.route.native_id]
    if operation.mask_required and call.mask is None:
        raise missing("mask", f"{call.model.id} needs a mask: transparent or white in the area to edit.")
    _warn(call, operation)
    body: dict[str, Any] = {}
    if operation.prompt and task.prompt:
        body[operation.prompt] = task.prompt
    for image in call.inputs[:1]:
        if len(image.data) > MAX_INPUT_BYTES:
            raise invalid_image("image", "Bria takes images of at most 12 MB.")
        encoded = encode(image)
        body[operation.image] = [encoded] if operation.takes_image_list else encoded
    if operation.mask and call.mask is not None:
        body[operation.mask] = encode(replace(call.mask, data=binary_mask(call.mask.data)))
    if task.negative_prompt:
        body["negative_prompt"] = task.negative_prompt
    if call.seed is not None:
        body["seed"] = call.seed
    if task.quality in operation.steps:
        body["steps_num"] = operation.steps[task.quality]
    if operation.takes_size and task.width:
        body["aspect_ratio"] = _ASPECT_RATIOS.nearest_aspect_ratio(task.width, task.height)
        body["resolution"] = "4MP" if task.width * task.height > LARGE_FROM else "1MP"
    if operation.output_type and task.output_format:
        # The gateway encodes WebP, and JPEG of a requested quality, from a lossless PNG.
        is_plain_jpeg = task.output_format == "jpeg" and not task.HasField("output_compression")
        body["output_type"] = "jpeg" if is_plain_jpeg else "png"
    return body


def _warn(call: Call, operation: Operation) -> None:
    unsupported_options.warn_fields(call, "moderation", "input_fidelity")
    if not operation.prompt:
        unsupported_options.warn_fields(call, "prompt")
    if not operation.takes_size:
        unsupported_options.warn_size(call)
