"""Sizes and shapes: what a request asks for, and the nearest that its model makes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from imagegateway.platform.errors import invalid
from imagegateway.providers.sizes import (
    AspectRatioSizes,
    FixedSizes,
    SizeRange,
    has_same_aspect_ratio,
    nearest_aspect_ratio,
    parse_aspect_ratio,
)
from imagegateway.v1 import image_service_pb2 as pb

if TYPE_CHECKING:
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.providers.catalog import Model
    from imagegateway.router.validation import Plan, Request
    from imagegateway.router.value_checks import Warnings

_SIZE: Final = re.compile(r"([1-9][0-9]{0,4})[xX]([1-9][0-9]{0,4})")
_RATIO: Final = re.compile(r"([1-9][0-9]{0,3}):([1-9][0-9]{0,3})")


def choose(request: Request, model: Model, task: provider.ImageTask, warnings: Warnings) -> None:
    """Give a task the size or shape that is asked for, or with a warning the nearest one that the model makes.

    Raises GatewayError naming `size` or `aspect_ratio`.
    """
    sizes = model.sizes_for(edit=isinstance(request, pb.EditRequest))
    asked: tuple[int, int] | None = None
    param = "size"
    if request.aspect_ratio:
        param = "aspect_ratio"
        if request.size and request.size != "auto":
            raise invalid("aspect_ratio", "Send size or aspect_ratio, not both.")
        match = _RATIO.fullmatch(request.aspect_ratio)
        if not match:
            raise invalid("aspect_ratio", "aspect_ratio must look like 16:9.")
        task.aspect_ratio = request.aspect_ratio
        asked = _shaped(sizes, request.aspect_ratio)
    elif request.size and request.size != "auto":
        match = _SIZE.fullmatch(request.size)
        if not match:
            raise invalid("size", "size must look like 1024x1024, or be auto.")
        asked = int(match[1]), int(match[2])
    if asked is None:  # the model's own size; an edit's is its input's
        return
    if isinstance(sizes, AspectRatioSizes):
        _shape(model, sizes, task, warnings, asked)
        return
    made = sizes.nearest(*asked)
    exact = made == asked
    if param == "aspect_ratio":
        named = sizes.aspect_ratios if isinstance(sizes, FixedSizes) else ()
        exact = task.aspect_ratio in named or has_same_aspect_ratio(made, asked)
    elif not exact and isinstance(sizes, FixedSizes) and sizes.by_aspect_ratio:
        task.aspect_ratio = nearest_aspect_ratio(sizes.aspect_ratios, *asked)
        made = sizes.nearest(*_shaped(sizes, task.aspect_ratio))
    task.width, task.height = made
    if not exact:
        wanted = request.aspect_ratio or f"{asked[0]}x{asked[1]}"
        warnings.add(
            "size_adjusted", param, f"{model.id} can't make {wanted}; the nearest it makes is {made[0]}x{made[1]}."
        )


def _shape(
    model: Model,
    shapes: AspectRatioSizes,
    task: provider.ImageTask,
    warnings: Warnings,
    asked: tuple[int, int],
) -> None:
    """For models that take a shape and choose the pixels: the nearest one to what was asked."""
    wanted = task.aspect_ratio
    task.aspect_ratio = shapes.nearest_aspect_ratio(*asked)
    made = shapes.nearest(*asked)
    if made != asked and task.aspect_ratio != wanted:
        warnings.add(
            "size_adjusted",
            "aspect_ratio" if wanted else "size",
            f"{model.id} chooses the pixels itself: it makes {task.aspect_ratio}, about {made[0]}x{made[1]}.",
        )


def _shaped(sizes: FixedSizes | SizeRange | AspectRatioSizes, ratio: str) -> tuple[int, int]:
    """The default's area in another shape, `<w>:<h>`."""
    area = sizes.default[0] * sizes.default[1]
    wide, high = parse_aspect_ratio(ratio)
    width = (area * wide / high) ** 0.5
    return max(1, round(width)), max(1, round(width * high / wide))


def fit_to_input(plan: Plan, width: int, height: int) -> None:
    """Give an edit without a size its input's, as near as the model makes it."""
    sizes = plan.model.sizes_for(edit=True)
    if not plan.task.width and not isinstance(sizes, AspectRatioSizes):
        plan.task.width, plan.task.height = sizes.nearest(width, height)
