"""People in a landscape."""

from __future__ import annotations

from imagegateway.providers.local.sketch.canvas import Canvas, Point, disc, placed
from imagegateway.providers.local.sketch.palette import Colour, Palette, adjust, at_lightness


def walker(canvas: Canvas, foot: Point, size: float, palette: Palette, colour: Colour | None) -> None:
    """Draw a wanderer in a cloak, seen from behind."""
    x, y = foot
    cloak = colour or palette.accent
    dark = at_lightness(palette.near, 0.18)
    canvas.shape([placed(x, y, size, [(-0.1, 0.02), (-0.08, 0.3), (-0.01, 0.3), (-0.03, 0.0)])], dark)
    canvas.shape([placed(x, y, size, [(0.03, 0.0), (0.02, 0.3), (0.1, 0.3), (0.11, 0.02)])], dark)
    outline = [(-0.22, 0.1), (-0.14, 0.6), (-0.06, 0.82), (0.06, 0.82), (0.15, 0.6), (0.24, 0.08)]
    canvas.shape([placed(x, y, size, outline)], cloak, shade=adjust(cloak, light=-0.16), rise=0.9)
    canvas.shape([disc(x, y - size * 0.87, size * 0.095, stretch=1.1)], dark)
    canvas.shape([placed(x, y, size, [(-0.2, 0.84), (0.0, 1.05), (0.2, 0.84)])], adjust(cloak, light=-0.12))
    canvas.stroke(placed(x, y, size, [(0.27, 0.0), (0.25, 0.86)]), max(1.0, size * 0.02), dark)
