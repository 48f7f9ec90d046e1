"""Sizes of models that take an aspect ratio and a tier, such as `16:9` and `2K`, and make known pixels of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from imagegateway.providers.sizes import FixedSizes

if TYPE_CHECKING:
    from collections.abc import Mapping

_FACTORS: Final = {"512": 0.5, "1K": 1.0, "2K": 2.0, "4K": 4.0}
_LONGEST: Final = {"512": 768, "1K": 1600, "2K": 3200, "4K": 1 << 31}
"""Longest requested side, in pixels, that selects a tier."""


@dataclass(frozen=True, slots=True)
class TieredSizes(FixedSizes):
    """Sizes that are named by an aspect ratio and a tier."""

    labels: Mapping[tuple[int, int], tuple[str, str]] = field(default_factory=dict)
    """Aspect ratio and tier by size."""
    tiers: tuple[str, ...] = ("1K",)

    @classmethod
    def of(cls, ratios: Mapping[str, tuple[int, int]], tiers: tuple[str, ...] = ("1K",)) -> TieredSizes:
        """Return the sizes of `ratios`, pixels at 1K by aspect ratio with the default first, in ascending `tiers`."""
        labels = {
            (round(width * _FACTORS[tier]), round(height * _FACTORS[tier])): (ratio, tier)
            for tier in sorted(tiers, key="1K".__ne__)
            for ratio, (width, height) in ratios.items()
        }
        return cls(tuple(labels), aspect_ratios=tuple(ratios), labels=labels, tiers=tiers)

    def nearest(self, width: int, height: int) -> tuple[int, int]:
        """Return the size of the closest aspect ratio, in the tier that the longer side selects."""
        if (width, height) in self.labels:
            return width, height
        longer = max(width, height)
        selected = next((tier for tier in self.tiers if longer <= _LONGEST[tier]), self.tiers[-1])

        def distance(size: tuple[int, int]) -> float:
            left, _, right = self.labels[size][0].partition(":")
            quotient = int(left) * height / (int(right) * width)
            return max(quotient, 1 / quotient)

        return min((size for size in self.sizes if self.labels[size][1] == selected), key=distance)
