"""Image sizes that models make, and the nearest one to a requested size. Sizes are (width, height) in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOLERANCE: Final = 1.01
"""Largest quotient of two aspect ratios that count as equal: whole pixels make sizes of one ratio differ a little."""
_SEARCH_STEPS: Final = 8
"""Steps of the short side, up and down, that the search for the nearest size tries first."""


def has_same_aspect_ratio(size: tuple[float, float], other: tuple[float, float]) -> bool:
    """Return whether two sizes have the same aspect ratio, within the error of whole pixels."""
    return _distance(size, other) <= _TOLERANCE


def nearest_aspect_ratio(aspect_ratios: tuple[str, ...], width: int, height: int) -> str:
    """Return the aspect ratio, `<w>:<h>`, that is nearest to a size."""
    return min(aspect_ratios, key=lambda known: _distance(parse_aspect_ratio(known), (width, height)))


def parse_aspect_ratio(text: str) -> tuple[int, int]:
    """Return both numbers of an aspect ratio, `<w>:<h>`."""
    width, _, height = text.partition(":")
    return int(width), int(height)


def _distance(size: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the quotient of two aspect ratios, the larger by the smaller: 1 for equal ones."""
    quotient = size[0] * other[1] / (size[1] * other[0])
    return max(quotient, 1 / quotient)


@dataclass(frozen=True, slots=True)
class FixedSizes:
    """Sizes of a model that makes these and no others; the first is its default."""

    sizes: tuple[tuple[int, int], ...]
    min_area_share: float = 0.0
    """For a model with several sizes of one aspect ratio: the smallest size with at least this share of the requested
    area is the nearest; 0 selects by the nearest area."""
    aspect_ratios: tuple[str, ...] = ()
    """Aspect ratios, `<w>:<h>`, that the model accepts by name; the pixels are then the model's choice."""
    by_aspect_ratio: bool = False
    """A size that is not listed is requested as the nearest of `aspect_ratios` instead of the nearest size."""

    @property
    def default(self) -> tuple[int, int]:
        """Return the size that serves a request without one."""
        return self.sizes[0]

    def nearest(self, width: int, height: int) -> tuple[int, int]:
        """Return the size nearest in aspect ratio, then in area (see `min_area_share`)."""

        def distance(size: tuple[int, int]) -> float:
            return _distance(size, (width, height))

        def area(size: tuple[int, int]) -> int:
            return size[0] * size[1]

        if not self.min_area_share:
            return min(self.sizes, key=lambda size: (distance(size), abs(area(size) - width * height)))
        nearest = min(map(distance, self.sizes)) * _TOLERANCE
        candidates = sorted((size for size in self.sizes if distance(size) <= nearest), key=area)
        required = self.min_area_share * width * height
        return next((size for size in candidates if area(size) >= required), candidates[-1])


@dataclass(frozen=True, slots=True)
class SizeRange:
    """Sizes of a model that makes any size within limits: sides in pixels, each a multiple of `step`."""

    default: tuple[int, int]
    min_side: int
    max_side: int
    step: int = 1
    max_pixels: int = 1 << 62
    min_pixels: int = 0
    max_ratio: float = 1e6
    """Largest quotient of the longer side by the shorter one."""

    def nearest(self, width: int, height: int) -> tuple[int, int]:
        """Return the allowed size nearest in aspect ratio, then in area; an allowed size is its own nearest.

        Aspect ratios within 1 % count as equal, so among those the nearest area decides, and the smaller of two sizes
        that are equally near.
        """
        if width < height:
            high, wide = self.nearest(height, width)
            return wide, high
        if self._allows(width, height):
            return width, height
        least, most = -(-self.min_side // self.step) * self.step, self.max_side // self.step * self.step
        target = (min(width, height * min(self.max_ratio, most / least)), height)

        area = target[0] * target[1]

        def rank(size: tuple[int, int]) -> tuple[float, float, int]:
            distance = _distance(size, target)
            return 0 if distance <= _TOLERANCE else distance, abs(size[0] * size[1] - area), size[0]

        scale = (min(max(area, self.min_pixels), self.max_pixels) / area) ** 0.5
        scale = max(min(scale, most / target[0]), least / target[1])
        ideal = round(height * scale / self.step) * self.step
        # Sizes of the right aspect ratio and area lie close together; all sizes are tried only where none is found.
        around = range(ideal - _SEARCH_STEPS * self.step, ideal + (_SEARCH_STEPS + 1) * self.step, self.step)
        for short_sides in (around, range(least, most + 1, self.step)):
            candidates = [size for short in short_sides for size in self._with_short_side(short, target)]
            if any(has_same_aspect_ratio(size, target) for size in candidates):
                break
        return min(candidates, key=rank)

    def _with_short_side(self, short: int, target: tuple[float, float]) -> Iterator[tuple[int, int]]:
        """Yield the allowed sizes with this short side whose aspect ratio is nearest to the target's."""
        steps = short * target[0] / target[1] / self.step
        for long in {floor(steps) * self.step, ceil(steps) * self.step}:
            if self._allows(long, short):
                yield long, short

    def _allows(self, long: int, short: int) -> bool:
        return (
            long % self.step == short % self.step == 0
            and self.min_side <= short <= long <= min(self.max_side, short * self.max_ratio)
            and self.min_pixels <= long * short <= self.max_pixels
        )


@dataclass(frozen=True, slots=True)
class AspectRatioSizes:
    """Sizes of a model that takes an aspect ratio, `<w>:<h>`, and chooses the pixels itself: about `pixels`."""

    aspect_ratios: tuple[str, ...]
    pixels: int
    default_aspect_ratio: str = "1:1"

    @property
    def default(self) -> tuple[int, int]:
        """Return about the size that the model makes of `default_aspect_ratio`."""
        return self.nearest(*parse_aspect_ratio(self.default_aspect_ratio))

    def nearest(self, width: int, height: int) -> tuple[int, int]:
        """Return about the size that the model makes of the nearest aspect ratio."""
        left, right = parse_aspect_ratio(self.nearest_aspect_ratio(width, height))
        unit = (self.pixels / (left * right)) ** 0.5
        return round(left * unit), round(right * unit)

    def nearest_aspect_ratio(self, width: int, height: int) -> str:
        """Return the aspect ratio, of those that the model accepts, nearest to a size."""
        return nearest_aspect_ratio(self.aspect_ratios, width, height)


Sizes: TypeAlias = FixedSizes | SizeRange | AspectRatioSizes
