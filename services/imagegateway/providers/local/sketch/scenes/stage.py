"""Stage: the inputs of a scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from imagegateway.providers.local.sketch.canvas import Canvas
    from imagegateway.providers.local.sketch.palette import Palette
    from imagegateway.providers.local.sketch.reading import Reading


@dataclass(frozen=True, slots=True)
class Stage:
    """Canvas, palette, reading and random generator of a scene."""

    canvas: Canvas
    palette: Palette
    reading: Reading
    rng: Random

    @property
    def hazy(self) -> bool:
        """Return whether the air hides the sun's edge."""
        return bool(self.reading.weather & {"rain", "mist"})
