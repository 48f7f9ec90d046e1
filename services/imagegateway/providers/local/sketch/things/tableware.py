"""Tableware: vase and cup."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imagegateway.providers.local.sketch.canvas import Canvas, Point, curve, disc, placed
from imagegateway.providers.local.sketch.palette import Colour, Palette, adjust, at_lightness, mix

if TYPE_CHECKING:
    from random import Random


def vase(canvas: Canvas, foot: Point, size: float, palette: Palette, rng: Random) -> None:
    """Draw a vase of flowers that stands at `foot`."""
    x, y = foot
    pot = mix(palette.far, palette.near, 0.45)
    green = mix((76, 122, 84), palette.near, 0.3)
    stems = [
        (-0.3, 0.86),
        (-0.17, 1.0),
        (-0.02, 0.92),
        (0.14, 1.03),
        (0.29, 0.84),
        (0.06, 0.76),
        (-0.12, 0.74),
    ]
    for px, py in stems:
        bend = [(0.02 * px, 0.42), (px * 0.35, 0.42 + (py - 0.42) * 0.5), (px, py)]
        canvas.stroke(placed(x, y, size, bend), max(1.0, size * 0.012), green)
        leaf = curve(
            placed(x, y, size, [(px * 0.35, py * 0.62), (px * 0.75 + 0.05, py * 0.7), (px * 0.6, py * 0.56)])
        )
        canvas.shape([leaf], adjust(green, light=rng.uniform(-0.04, 0.1)))
    blooms = (palette.accent, mix(palette.accent, palette.light, 0.6), mix(palette.accent, palette.near, 0.3))
    for index, (px, py) in enumerate(stems):
        bloom = blooms[index % 3]
        bx, by, radius = x + px * size, y - py * size, size * rng.uniform(0.06, 0.085)
        petals = 6
        ring = [
            disc(bx + radius * 0.62 * math.cos(turn), by + radius * 0.62 * math.sin(turn), radius * 0.5)
            for turn in (2 * math.pi * petal / petals + index for petal in range(petals))
        ]
        canvas.shape(ring, bloom, shade=adjust(bloom, light=-0.1), rise=0.6)
        canvas.shape([disc(bx, by, radius * 0.34)], mix(palette.light, (246, 190, 80), 0.6))
    outline = [(-0.09, 0.47), (-0.07, 0.4), (-0.2, 0.24), (-0.19, 0.08), (-0.11, 0.0)]
    path = [*outline, *[(-px, py) for px, py in reversed(outline)]]
    canvas.shape([placed(x, y, size, path)], adjust(pot, light=0.05), pot, shade=adjust(pot, light=-0.14))
    canvas.shape(
        [placed(x, y, size, [(-0.15, 0.26), (-0.11, 0.33), (-0.1, 0.12), (-0.13, 0.1)])],
        palette.light,
        opacity=0.22,
    )


def cup(canvas: Canvas, foot: Point, size: float, palette: Palette, colour: Colour | None) -> None:
    """Draw a steaming cup on a saucer that stands at `foot`."""
    x, y = foot
    glaze = colour or at_lightness(mix(palette.light, palette.accent, 0.1), 0.92)
    saucer = adjust(glaze, light=-0.08)
    for shift, height in ((-0.12, 0.34), (0.02, 0.46), (0.15, 0.32)):
        steam = [
            (x + size * (shift + 0.035 * math.sin(step * 0.75)), y - size * (0.62 + height * step / 12))
            for step in range(13)
        ]
        canvas.stroke(steam, size * 0.022, palette.light, opacity=0.55)
    canvas.shape([disc(x, y - size * 0.03, size * 0.5, stretch=0.14)], saucer, shade=adjust(saucer, light=-0.14))
    canvas.shape([disc(x + size * 0.37, y - size * 0.33, size * 0.13)], glaze)
    canvas.shape([disc(x + size * 0.37, y - size * 0.33, size * 0.08)], adjust(glaze, light=-0.2))
    bowl = [
        (-0.36, 0.52),
        (-0.34, 0.3),
        (-0.22, 0.1),
        (-0.13, 0.05),
        (0.13, 0.05),
        (0.22, 0.1),
        (0.34, 0.3),
        (0.36, 0.52),
    ]
    canvas.shape([placed(x, y, size, bowl)], glaze, shade=adjust(glaze, light=-0.12), rise=0.7)
    canvas.shape([disc(x, y - size * 0.52, size * 0.36, stretch=0.2)], adjust(glaze, light=0.04))
    canvas.shape([disc(x, y - size * 0.515, size * 0.315, stretch=0.17)], (84, 52, 36), (122, 78, 52))
