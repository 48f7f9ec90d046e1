"""Ground: the edges and layers of a landscape, ranges of mountains, rows of conifers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imagegateway.providers.local.sketch import things
from imagegateway.providers.local.sketch.canvas import Canvas, Path, Point, Profile, jagged
from imagegateway.providers.local.sketch.palette import Colour, at_lightness, mix

if TYPE_CHECKING:
    from imagegateway.providers.local.sketch.scenes.stage import Stage


def upper_edge(canvas: Canvas, base: float, height: float, line: Profile) -> list[Point]:
    """Return the upper edge of a layer, from the left side to the right."""
    step = max(1.5, min(canvas.unit / 170, canvas.width / 40))
    count = math.ceil(canvas.width / step)
    return [(index * step, base - height * line(index * step)) for index in range(-1, count + 2)]


def layer(canvas: Canvas, edge: Path, depth: float | None = None) -> list[Point]:
    """Return a layer's path: its edge, closed at the image's lower edge or `depth` below the edge."""
    if depth is None:
        return [*edge, (canvas.width + 9, canvas.height + 2), (-9, canvas.height + 2)]
    return [*edge, *[(x, y + depth) for x, y in reversed(edge)]]


def height_at(edge: Path, x: float) -> float:
    """Return the height of an edge at a place."""
    return min(edge, key=lambda point: abs(point[0] - x))[1]


def grove(
    stage: Stage, edge: Path, size: float, colour: Colour, spacing: float, *, gap: Profile | None = None
) -> None:
    """Paint conifers along an edge, except where `gap` is below zero."""
    canvas, rng = stage.canvas, stage.rng
    trees: list[Path] = []
    x = rng.uniform(-1, 0) * size * spacing
    while x < canvas.width + size * 0.3:
        if gap is None or gap(x) > 0:
            trees.append(things.pine(x, height_at(edge, x) + size * 0.03, size * rng.uniform(0.62, 1.12), rng))
        x += size * spacing * rng.uniform(0.5, 1.5)
    canvas.shape(trees, colour)


def mountain_range(
    stage: Stage, base: float, height: float, colour: Colour, *, snow: bool, wavelength: float
) -> list[Point]:
    """Paint a rocky range with a shaded side and, on request, snow."""
    canvas, palette, rng = stage.canvas, stage.palette, stage.rng
    line = jagged(rng, wavelength)
    edge = upper_edge(canvas, base, height, line)
    air = mix(colour, palette.horizon, 0.3)
    canvas.shape([layer(canvas, edge)], colour, mix(colour, air, 0.9), shade=air, rise=0.5)
    wobble = jagged(rng, wavelength * 0.16, 3)
    if snow:
        white = at_lightness(mix(palette.light, palette.sky, 0.22), 0.95 if not palette.dark else 0.74)
        cap = [(x, max(y, min(base - height * 0.28 + height * 0.2 * wobble(x), y + height * 0.62))) for x, y in edge]
        canvas.shape([[*edge, *reversed(cap)]], white)
    # The side away from the light: from each summit down to the right, with an irregular edge.
    shadows: list[Path] = []
    reach = max(3, round(wavelength * 0.3 / (edge[1][0] - edge[0][0])))
    for index in range(reach, len(edge) - 2):
        x, y = edge[index]
        around = edge[max(0, index - reach) : index + reach + 1]
        if y > min(py for _, py in around) or y > base - height * 0.1:
            continue
        right = [point for point in edge[index : index + reach * 3] if point[1] >= y]
        spine = [
            (x + (py - y) * 0.16 + wobble(py * 1.7) * height * 0.05, py)
            for py in (y + height * 1.5 * step / 14 for step in range(15))
        ]
        shadows.append([*right, (right[-1][0], y + height * 1.5), *reversed(spine)])
    canvas.shape(shadows, mix(colour, palette.near, 0.42), opacity=0.42)
    return edge
