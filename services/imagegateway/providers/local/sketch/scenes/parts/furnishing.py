"""Furnishing: the things that the prompt names, on the ground and in the air of a scene."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.providers.local.sketch import things
from imagegateway.providers.local.sketch.palette import at_lightness, mix
from imagegateway.providers.local.sketch.reading import ANIMALS
from imagegateway.providers.local.sketch.scenes.parts.ground import height_at

if TYPE_CHECKING:
    from imagegateway.providers.local.sketch.canvas import Path
    from imagegateway.providers.local.sketch.scenes.stage import Stage


def on_ground(stage: Stage, edge: Path, *, clear: bool = False) -> None:
    """Paint the named things that the scene does not show yet on the nearest ground."""
    canvas, palette, rng, wanted = stage.canvas, stage.palette, stage.rng, stage.reading.things
    unit, scene = canvas.unit, stage.reading.scene
    x = canvas.width * (0.5 if clear else rng.choice((0.4, 0.58)))

    def ground(at: float) -> float:
        return min(height_at(edge, at) + unit * 0.05, canvas.height - unit * 0.035)

    animals = [name for name in wanted if name in ANIMALS]
    if "tree" in wanted and scene != "forest":
        place = canvas.width * 0.78
        leaf = wanted["tree"] or mix(palette.accent, palette.far, 0.15)
        things.tree(canvas, (place, ground(place)), unit * 0.5, leaf, palette.near, rng=rng)
    if "cabin" in wanted and scene != "hills":
        place = canvas.width * 0.68
        things.cabin(canvas, (place, ground(place)), unit * 0.2, palette, wanted["cabin"])
    if "tent" in wanted:
        place = canvas.width * 0.34
        things.tent(canvas, (place, ground(place)), unit * 0.15, palette, wanted["tent"])
    if "lighthouse" in wanted and scene != "sea":
        place = canvas.width * 0.72
        things.lighthouse(canvas, (place, ground(place)), unit * 0.5, palette, wanted["lighthouse"])
    for index, name in enumerate(animals[:3]):
        place = x + (index - (len(animals[:3]) - 1) / 2) * unit * 0.36
        things.animal(canvas, (place, ground(place)), unit * 0.4, name, palette, colour=wanted[name])
    if "walker" in wanted and not animals:
        things.walker(canvas, (x, ground(x)), unit * 0.27, palette, wanted["walker"])


def in_air(stage: Stage) -> None:
    """Paint the named things that the scene does not show yet into the air."""
    canvas, palette, rng, wanted = stage.canvas, stage.palette, stage.rng, stage.reading.things
    unit, scene = canvas.unit, stage.reading.scene
    if "balloon" in wanted:
        for px, py, size in ((0.36, 0.52, 0.36), (0.72, 0.34, 0.18), (0.84, 0.5, 0.1)):
            colour = wanted["balloon"] if size > 0.3 else None
            things.balloon(canvas, (canvas.width * px, canvas.height * py), unit * size, palette, colour)
    if "rocket" in wanted and scene != "space":
        things.rocket(canvas, (canvas.width * 0.6, canvas.height * 0.32), unit * 0.3, palette, wanted["rocket"])
    if "bird" in wanted:
        dark = wanted["bird"] or at_lightness(palette.near, 0.25 if not palette.dark else 0.75)
        things.birds(canvas, (canvas.width * 0.5, canvas.height * 0.26), unit * 0.5, dark, rng, count=9)
