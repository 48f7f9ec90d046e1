"""Registry of scenes by name; painting of whole images and of additions to one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from imagegateway.providers.local.sketch.scenes.abstract import abstract
from imagegateway.providers.local.sketch.scenes.city import city
from imagegateway.providers.local.sketch.scenes.land import desert, forest, hills, mountain
from imagegateway.providers.local.sketch.scenes.parts.furnishing import in_air, on_ground
from imagegateway.providers.local.sketch.scenes.parts.sky import mist, precipitation
from imagegateway.providers.local.sketch.scenes.people import portrait
from imagegateway.providers.local.sketch.scenes.space import space
from imagegateway.providers.local.sketch.scenes.stage import Stage
from imagegateway.providers.local.sketch.scenes.still_life import still_life
from imagegateway.providers.local.sketch.scenes.water import lake, sea

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from imagegateway.providers.local.sketch.canvas import Canvas
    from imagegateway.providers.local.sketch.palette import Palette
    from imagegateway.providers.local.sketch.reading import Reading

SCENES: Final[Mapping[str, Callable[[Stage], None]]] = {
    "sea": sea,
    "lake": lake,
    "mountain": mountain,
    "forest": forest,
    "hills": hills,
    "city": city,
    "space": space,
    "desert": desert,
    "abstract": abstract,
    "portrait": portrait,
    "still": still_life,
}


def furnish(canvas: Canvas, reading: Reading, palette: Palette, rng: Random, ground: float) -> None:
    """Paint the things that a reading names into an existing image, on row `ground`."""
    stage = Stage(canvas, palette, replace(reading, scene=""), rng)
    line = ground - canvas.unit * 0.05
    on_ground(stage, [(0.0, line), (float(canvas.width), line)])
    in_air(stage)


def paint(canvas: Canvas, reading: Reading, palette: Palette, rng: Random) -> None:
    """Paint a reading in a palette over the whole canvas."""
    stage = Stage(canvas, palette, reading, rng)
    SCENES[reading.scene](stage)
    in_air(stage)
    if "mist" in reading.weather and reading.scene not in {"abstract", "portrait", "still", "space"}:
        mist(stage, canvas.height * 0.68, canvas.unit * 0.34, 0.6)
    precipitation(stage)
    canvas.finish()
