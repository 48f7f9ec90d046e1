"""Sizes of models that take a shape and a tier, such as `16:9` and `2K`, and make known pixels of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from imagegateway.providers.sizes import FixedSizes

if TYPE_CHECKING:
    from collections.abc import Mapping

_FACTORS: Final = {"512": 0.5, "1K": 1.0, "2K": 2.0, "4K": 4.0}
_LONGEST: Final = {"512": 768, "1K": 1600, "2K": 3200, "4K": 1 << 31}
"""Longest side that is asked of a tier."""


@dataclass(frozen=True, slots=True)
class Tiered(FixedSizes):
    """`labels`: shape and tier of each size."""

    labels: Mapping[tuple[int, int], tuple[str, str]] = field(default_factory=dict)
    tiers: tuple[str, ...] = ("1K",)

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, int]], tiers: tuple[str, ...] = ("1K",)) -> Tiered:
        """`shapes`: the pixels of each at 1K; the first one is the default. Tiers in growing order."""
        labels = {
            (round(width * _FACTORS[tier]), round(height * _FACTORS[tier])): (shape, tier)
            for tier in sorted(tiers, key="1K".__ne__)
            for shape, (width, height) in shapes.items()
        }
        return cls(tuple(labels), aspect_ratios=tuple(shapes), labels=labels, tiers=tiers)

    def nearest(self, width: int, height: int) -> tuple[int, int]:
        """The closest shape, in the tier that the longer side asks for."""
        if (width, height) in self.labels:
            return width, height
        longer = max(width, height)
        wanted = next((tier for tier in self.tiers if longer <= _LONGEST[tier]), self.tiers[-1])

        def distance(size: tuple[int, int]) -> float:
            left, _, right = self.labels[size][0].partition(":")
            shape = int(left) * height / (int(right) * width)
            return max(shape, 1 / shape)

        return min((size for size in self.sizes if self.labels[size][1] == wanted), key=distance)
