"""Sizes and shapes: what a request asks for, and the nearest that its model makes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from imagegateway.platform.errors import invalid
from imagegateway.providers import catalog as c
from imagegateway.v1 import image_service_pb2 as pb

if TYPE_CHECKING:
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.router.validation import Plan, Request
    from imagegateway.router.value_checks import Warnings

_SIZE: Final = re.compile(r"([1-9][0-9]{0,4})[xX]([1-9][0-9]{0,4})")
_RATIO: Final = re.compile(r"([1-9][0-9]{0,3}):([1-9][0-9]{0,3})")


def choose(request: Request, model: c.Model, task: provider.ImageTask, warnings: Warnings) -> None:
    """Give a task the size or shape that is asked for, or with a warning the nearest one that the model makes.

    Raises GatewayError naming `size` or `aspect_ratio`.
    """
    sizes = model.sizes_of(edit=isinstance(request, pb.EditRequest))
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
    if isinstance(sizes, c.Shapes):
        _shape(model, sizes, task, warnings, asked)
        return
    made = sizes.nearest(*asked)
    exact = made == asked
    if param == "aspect_ratio":
        named = sizes.ratios if isinstance(sizes, c.Listed) else ()
        exact = task.aspect_ratio in named or c.same_shape(made, asked)
    elif not exact and isinstance(sizes, c.Listed) and sizes.by_ratio:
        task.aspect_ratio = c.nearest_ratio(sizes.ratios, *asked)
        made = sizes.nearest(*_shaped(sizes, task.aspect_ratio))
    task.width, task.height = made
    if not exact:
        wanted = request.aspect_ratio or f"{asked[0]}x{asked[1]}"
        warnings.add(
            "size_adjusted", param, f"{model.id} can't make {wanted}; the nearest it makes is {made[0]}x{made[1]}."
        )


def _shape(
    model: c.Model,
    shapes: c.Shapes,
    task: provider.ImageTask,
    warnings: Warnings,
    asked: tuple[int, int],
) -> None:
    """For models that take a shape and choose the pixels: the nearest one to what was asked."""
    wanted = task.aspect_ratio
    task.aspect_ratio = shapes.ratio(*asked)
    made = shapes.nearest(*asked)
    if made != asked and task.aspect_ratio != wanted:
        warnings.add(
            "size_adjusted",
            "aspect_ratio" if wanted else "size",
            f"{model.id} chooses the pixels itself: it makes {task.aspect_ratio}, about {made[0]}x{made[1]}.",
        )


def _shaped(sizes: c.Listed | c.Free | c.Shapes, ratio: str) -> tuple[int, int]:
    """The default's area in another shape, `<w>:<h>`."""
    area = sizes.default[0] * sizes.default[1]
    wide, high = c.sides(ratio)
    width = (area * wide / high) ** 0.5
    return max(1, round(width)), max(1, round(width * high / wide))


def fit_to_input(plan: Plan, width: int, height: int) -> None:
    """Give an edit without a size its input's, as near as the model makes it."""
    sizes = plan.model.sizes_of(edit=True)
    if not plan.task.width and not isinstance(sizes, c.Shapes):
        plan.task.width, plan.task.height = sizes.nearest(width, height)
