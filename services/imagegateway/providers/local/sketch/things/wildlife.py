"""Birds in flight, and a whale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.providers.local.sketch.canvas import Canvas, Point, curve, disc, placed
from imagegateway.providers.local.sketch.palette import Colour, Palette, adjust, at_lightness

if TYPE_CHECKING:
    from random import Random


def birds(canvas: Canvas, foot: Point, size: float, colour: Colour, rng: Random, *, count: int) -> None:
    """Draw a loose flight of birds around `foot`; `size` is the flight's width."""
    x, y = foot
    for _ in range(count):
        bx, by = x + rng.uniform(-0.5, 0.5) * size, y + rng.uniform(-0.22, 0.22) * size
        wing = size * rng.uniform(0.06, 0.11)
        lift = rng.uniform(0.3, 0.55)
        left = [
            (-1, lift),
            (-0.55, lift + 0.16),
            (0, 0),
            (0.55, lift + 0.16),
            (1, lift),
            (0.5, lift - 0.02),
            (0, -0.2),
        ]
        canvas.shape([placed(bx, by, wing, [*left, (-0.5, lift - 0.02)])], colour)


def whale(canvas: Canvas, foot: Point, size: float, palette: Palette, colour: Colour | None) -> None:
    """Draw a whale's tail that rises from the water at `foot`."""
    x, y = foot
    skin = colour or at_lightness(palette.near, 0.27)
    tail = [
        (-0.16, 0.0),
        (-0.07, 0.45),
        (-0.03, 0.62),
        (-0.3, 0.72),
        (-0.62, 0.98),
        (-0.3, 0.98),
        (0.0, 0.84),
    ]
    tail += [(0.3, 0.98), (0.62, 0.98), (0.3, 0.72), (0.03, 0.62), (0.07, 0.45), (0.16, 0.0)]
    canvas.shape([curve(placed(x, y, size, tail), 6)], skin, shade=adjust(skin, light=0.08), from_top=True)
    for ring, opacity in ((0.34, 0.8), (0.55, 0.4)):
        canvas.shape([disc(x, y, size * ring, stretch=0.1)], palette.light, opacity=opacity * 0.6)
