"""Checks of size and aspect ratio, and the choice of the nearest size that the model makes."""

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

if TYPE_CHECKING:
    from imagegateway.router.validation.draft import Draft, Request
    from imagegateway.router.validation.plan import Plan

_SIZE: Final = re.compile(r"([1-9][0-9]{0,4})[xX]([1-9][0-9]{0,4})")
_RATIO: Final = re.compile(r"([1-9][0-9]{0,3}):([1-9][0-9]{0,3})")


def check_size(draft: Draft) -> None:
    """Set the requested size or aspect ratio, or with a warning the nearest one that the model makes.

    Sets nothing without a request: the model chooses, and an edit takes its input's size. Raises GatewayError naming
    `size` or `aspect_ratio`.
    """
    sizes = draft.model.sizes_for(edit=draft.is_edit)
    if draft.request.aspect_ratio:
        draft.task.aspect_ratio = _checked_ratio(draft.request)
        requested = _size_of_ratio(sizes, draft.task.aspect_ratio)
    elif draft.request.size and draft.request.size != "auto":
        requested = _checked_size(draft.request.size)
    else:
        return
    if isinstance(sizes, AspectRatioSizes):
        _set_shape(draft, sizes, requested)
    else:
        _set_pixels(draft, sizes, requested)


def fit_to_input(plan: Plan, width: int, height: int) -> None:
    """Set the size of an edit without a requested size: the nearest to its input's width and height in pixels."""
    sizes = plan.model.sizes_for(edit=True)
    if not plan.task.width and not isinstance(sizes, AspectRatioSizes):
        plan.task.width, plan.task.height = sizes.nearest(width, height)


def _checked_ratio(request: Request) -> str:
    if request.size and request.size != "auto":
        raise invalid("aspect_ratio", "Send size or aspect_ratio, not both.")
    if not _RATIO.fullmatch(request.aspect_ratio):
        raise invalid("aspect_ratio", "aspect_ratio must look like 16:9.")
    return request.aspect_ratio


def _checked_size(size: str) -> tuple[int, int]:
    match = _SIZE.fullmatch(size)
    if not match:
        raise invalid("size", "size must look like 1024x1024, or be auto.")
    return int(match[1]), int(match[2])


def _set_pixels(draft: Draft, sizes: FixedSizes | SizeRange, requested: tuple[int, int]) -> None:
    """Set width and height for models that take pixels."""
    task = draft.task
    nearest = sizes.nearest(*requested)
    exact = nearest == requested
    by_ratio = bool(draft.request.aspect_ratio)
    if by_ratio:
        named = sizes.aspect_ratios if isinstance(sizes, FixedSizes) else ()
        exact = task.aspect_ratio in named or has_same_aspect_ratio(nearest, requested)
    elif not exact and isinstance(sizes, FixedSizes) and sizes.by_aspect_ratio:
        task.aspect_ratio = nearest_aspect_ratio(sizes.aspect_ratios, *requested)
        nearest = sizes.nearest(*_size_of_ratio(sizes, task.aspect_ratio))
    task.width, task.height = nearest
    if not exact:
        shown = draft.request.aspect_ratio or f"{requested[0]}x{requested[1]}"
        draft.warnings.add(
            "size_adjusted",
            "aspect_ratio" if by_ratio else "size",
            f"{draft.model.id} can't make {shown}; the nearest it makes is {nearest[0]}x{nearest[1]}.",
        )


def _set_shape(draft: Draft, shapes: AspectRatioSizes, requested: tuple[int, int]) -> None:
    """Set the aspect ratio for models that choose the pixels themselves."""
    task = draft.task
    requested_ratio = task.aspect_ratio
    task.aspect_ratio = shapes.nearest_aspect_ratio(*requested)
    nearest = shapes.nearest(*requested)
    if nearest != requested and task.aspect_ratio != requested_ratio:
        draft.warnings.add(
            "size_adjusted",
            "aspect_ratio" if requested_ratio else "size",
            f"{draft.model.id} chooses the pixels itself: it makes {task.aspect_ratio}, about "
            f"{nearest[0]}x{nearest[1]}.",
        )


def _size_of_ratio(sizes: FixedSizes | SizeRange | AspectRatioSizes, ratio: str) -> tuple[int, int]:
    """Return a size of the model's default area with another aspect ratio, `<w>:<h>`."""
    area = sizes.default[0] * sizes.default[1]
    wide, high = parse_aspect_ratio(ratio)
    width = (area * wide / high) ** 0.5
    return max(1, round(width)), max(1, round(width * high / wide))
