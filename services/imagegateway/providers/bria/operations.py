"""What each of Bria's operations takes, as data by native id, and the part of a request that both routes share.

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

    from imagegateway.providers.kit.adapter import Call, InputImage

MAX_INPUT_BYTES: Final = 12_000_000
_SHAPES: Final = AspectRatioSizes(RATIOS, pixels=0)


@dataclass(frozen=True, slots=True)
class Operation:
    """Names of the fields that an operation takes; empty: it takes none."""

    prompt: str = ""
    image: str = "image"
    listed: bool = False
    """The picture stands in a list."""
    mask: str = ""
    mask_required: bool = False
    steps: Mapping[str, int] = field(default_factory=dict)
    """`steps_num` for a quality."""
    shaped: bool = False
    """Takes `aspect_ratio` and `resolution`; all others keep their picture's size."""
    output_type: bool = False


_MOST: Final = dict.fromkeys(("high", "xhigh", "max", "hd"), 50)
_GENERATE: Final = Operation(
    prompt="prompt", image="images", listed=True, steps={"low": 35, **_MOST}, shaped=True, output_type=True
)
_EDIT: Final = Operation(
    prompt="instruction", image="images", listed=True, mask="mask", steps={"low": 20, **_MOST}, output_type=True
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
    "bria/fibo/generate": Operation("prompt", "image_url", steps=_GENERATE.steps, shaped=True),
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
PROMPT_FIELDS: Final = frozenset(operation.prompt for operation in OPERATIONS.values() if operation.prompt)


def arguments(call: Call, encode: Callable[[InputImage], str]) -> dict[str, Any]:
    """A call's operation with its fields; warns of what the operation has not. `encode` says how the route takes a
    picture.

    Raises GatewayError for a missing mask and for pictures over Bria's limit.
    """
    task, operation = call.task, OPERATIONS[call.route.native_id]
    if operation.mask_required and call.mask is None:
        raise missing("mask", f"{call.model.id} needs a mask: transparent or white where it is to work.")
    _warn(call, operation)
    body: dict[str, Any] = {}
    if operation.prompt and task.prompt:
        body[operation.prompt] = task.prompt
    for picture in call.inputs[:1]:
        if len(picture.data) > MAX_INPUT_BYTES:
            raise invalid_image("image", "Bria takes images of at most 12 MB.")
        encoded = encode(picture)
        body[operation.image] = [encoded] if operation.listed else encoded
    if operation.mask and call.mask is not None:
        body[operation.mask] = encode(replace(call.mask, data=binary_mask(call.mask.data)))
    if task.negative_prompt:
        body["negative_prompt"] = task.negative_prompt
    if call.seed is not None:
        body["seed"] = call.seed
    if task.quality in operation.steps:
        body["steps_num"] = operation.steps[task.quality]
    if operation.shaped and task.width:
        body["aspect_ratio"] = _SHAPES.nearest_aspect_ratio(task.width, task.height)
        body["resolution"] = "4MP" if task.width * task.height > LARGE_FROM else "1MP"
    if operation.output_type and task.output_format:
        # WebP, and JPEG of a wanted quality, are made here, from what loses nothing.
        plain = task.output_format == "jpeg" and not task.HasField("output_compression")
        body["output_type"] = "jpeg" if plain else "png"
    return body


def _warn(call: Call, operation: Operation) -> None:
    unsupported_options.warn_fields(call, "moderation", "input_fidelity")
    if not operation.prompt:
        unsupported_options.warn_fields(call, "prompt")
    if not operation.shaped:
        unsupported_options.warn_size(call)
