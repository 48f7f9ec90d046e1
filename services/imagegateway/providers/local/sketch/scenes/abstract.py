"""Abstract scene: geometric patterns and compositions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imagegateway.providers.local.sketch.canvas import Path, box, disc, rolling
from imagegateway.providers.local.sketch.palette import adjust, at_lightness, mix
from imagegateway.providers.local.sketch.scenes.parts.ground import layer, upper_edge

if TYPE_CHECKING:
    from imagegateway.providers.local.sketch.scenes.stage import Stage


def _tile(kind: int, x: float, y: float, side: float) -> list[Path]:
    """Draw one tile of a geometric pattern, in one ink."""
    steps = 24
    if kind < 4:
        corner = ((0, 0), (1, 0), (1, 1), (0, 1))[kind]
        cx, cy = x + corner[0] * side, y + corner[1] * side
        start = math.pi / 2 * kind
        return [
            [
                (cx, cy),
                *[
                    (
                        cx + side * math.cos(start + math.pi / 2 * step / steps),
                        cy + side * math.sin(start + math.pi / 2 * step / steps),
                    )
                    for step in range(steps + 1)
                ],
            ]
        ]
    if kind == 4:
        return [disc(x + side / 2, y + side / 2, side * 0.36)]
    if kind == 5:
        return [[(x, y), (x + side, y), (x, y + side)]]
    if kind == 6:
        return [box(x, y + side * (0.1 + 0.25 * row), x + side, y + side * (0.22 + 0.25 * row)) for row in range(4)]
    half = [
        (
            x + side / 2 + side / 2 * math.cos(math.pi * step / steps),
            y + side / 2 * math.sin(math.pi * step / steps),
        )
        for step in range(steps + 1)
    ]
    return [half, [(px, py + side / 2) for px, py in half]]


def abstract(stage: Stage) -> None:
    """Paint a pattern of tiles, or discs over waves."""
    canvas, palette, rng = stage.canvas, stage.palette, stage.rng
    unit, width, height = canvas.unit, canvas.width, canvas.height
    ground = at_lightness(palette.horizon, 0.9) if not palette.dark else at_lightness(palette.zenith, 0.22)
    inks = [
        palette.zenith,
        palette.far,
        palette.near,
        palette.accent,
        palette.sky,
        mix(palette.accent, palette.light, 0.5),
    ]
    canvas.wash((ground, mix(ground, palette.sky, 0.25)))
    if rng.random() < 0.5:
        side = (
            min(width, height) / rng.choice((3, 4, 4))
            if max(width, height) < 3 * min(width, height)
            else min(width, height)
        )
        columns, rows = max(1, round(width / side)), max(1, round(height / side))
        wide, tall = width / columns, height / rows
        for row in range(rows):
            for column in range(columns):
                back, front = rng.sample(inks, 2)
                x, y = column * wide, row * tall
                canvas.shape([box(x - 1, y - 1, x + wide + 1, y + tall + 1)], back if rng.random() < 0.7 else ground)
                stretch = tall / wide
                tile = [
                    [(px, y + (py - y) * stretch) for px, py in path] for path in _tile(rng.randrange(8), x, y, wide)
                ]
                canvas.shape(tile, front, shade=adjust(front, light=-0.09), rise=0.9)
                if rng.random() < 0.35:
                    canvas.shape([disc(x + wide / 2, y + tall / 2, min(wide, tall) * 0.13)], rng.choice(inks))
        return
    cx, cy = width * rng.uniform(0.38, 0.62), height * rng.uniform(0.36, 0.5)
    big = unit * rng.uniform(0.24, 0.32)
    canvas.shape(
        [disc(cx, cy, big)],
        palette.accent,
        mix(palette.accent, palette.light, 0.35),
        shade=adjust(palette.accent, light=-0.08),
    )
    for index in range(4):
        base = height * (0.5 + 0.13 * index)
        line = rolling(rng, unit * rng.uniform(0.9, 1.6))
        edge = upper_edge(canvas, base, unit * rng.uniform(0.07, 0.14), line)
        ink = (palette.sky, palette.far, palette.zenith, palette.near)[index]
        canvas.shape([layer(canvas, edge)], ink, shade=mix(ink, palette.light, 0.35), rise=0.8)
        for offset in (0.018, 0.03):
            lower = [(x, y + unit * offset) for x, y in edge]
            canvas.shape([layer(canvas, lower, unit * 0.004)], ground, opacity=0.5)
    ax, ay = (width * 0.8, height * 0.22) if cx < width / 2 else (width * 0.2, height * 0.22)
    for ringed in range(4):
        radius = unit * (0.17 - ringed * 0.038)
        canvas.shape([disc(ax, ay, radius)], (palette.near, ground, palette.far, palette.accent)[ringed], opacity=0.9)
    dots = [
        disc(cx + unit * (0.06 * column - 0.5), cy + unit * (0.06 * row + 0.1), unit * 0.008)
        for row in range(4)
        for column in range(6)
    ]
    canvas.shape(dots, palette.near)
