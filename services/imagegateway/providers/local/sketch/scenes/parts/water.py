"""Water surface: light and ripples."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagegateway.providers.local.sketch.canvas import Path
    from imagegateway.providers.local.sketch.palette import Colour
    from imagegateway.providers.local.sketch.scenes.stage import Stage


def reflection(stage: Stage, x: float, top: float, radius: float) -> None:
    """Paint the luminary's light on the water below `top`."""
    canvas, palette, rng = stage.canvas, stage.palette, stage.rng
    depth = min(canvas.height - top, canvas.unit * 0.6)
    rows = 22
    dashes: list[Path] = []
    for row in range(rows):
        share = (row + 0.5) / rows
        y = top + depth * share**1.35 + 2
        half = radius * (0.35 + 1.15 * share) * rng.uniform(0.4, 1.0)
        shift = rng.uniform(-0.35, 0.35) * radius * (0.3 + share)
        thick = canvas.unit * (0.0016 + 0.0048 * share)
        dashes.append([(x + shift - half, y), (x + shift, y - thick), (x + shift + half, y), (x + shift, y + thick)])
    canvas.shape(dashes, palette.light, opacity=0.8)


def ripples(stage: Stage, top: float, colour: Colour, count: int) -> None:
    """Paint short strokes of light on the water below `top`."""
    canvas, rng = stage.canvas, stage.rng
    lines: list[Path] = []
    for _ in range(count):
        share = rng.random() ** 1.5
        y = top + (canvas.height - top) * share
        half = canvas.unit * rng.uniform(0.02, 0.09) * (0.4 + share)
        x = rng.uniform(0, canvas.width)
        thick = canvas.unit * (0.001 + 0.0028 * share)
        lines.append([(x - half, y), (x, y - thick), (x + half, y), (x, y + thick)])
    canvas.shape(lines, colour, opacity=0.35)
