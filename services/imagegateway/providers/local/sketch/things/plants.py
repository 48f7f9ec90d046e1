"""Plants: conifers, broad-leaved trees, cactuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.providers.local.sketch.canvas import Canvas, Point, box, disc, placed
from imagegateway.providers.local.sketch.palette import Colour, adjust

if TYPE_CHECKING:
    from random import Random


def pine(x: float, y: float, size: float, rng: Random) -> list[Point]:
    """Return a conifer as one path."""
    tiers = 5
    lean = rng.uniform(-0.02, 0.02)
    spread = rng.uniform(0.2, 0.27)
    left: list[Point] = []
    right: list[Point] = []
    for tier in range(tiers):
        top = 1 - tier * 0.185
        foot = top - 0.27
        half = spread * (0.34 + 0.66 * (tier + 1) / tiers)
        inner = half * 0.42
        left += [(-inner * (tier > 0) * 0.8 + lean * top, top), (-half * rng.uniform(0.88, 1.08), foot)]
        right += [(inner * (tier > 0) * 0.8 + lean * top, top), (half * rng.uniform(0.88, 1.08), foot)]
    return placed(x, y, size, [*left, (-0.03, 0.0), (-0.03, -0.06), (0.03, -0.06), (0.03, 0.0), *right[::-1]])


def tree(canvas: Canvas, foot: Point, size: float, leaf: Colour, bark: Colour, *, rng: Random) -> None:
    """Draw a broad-leaved tree with a crown of a few round masses."""
    x, y = foot
    trunk = [
        (-0.035, -0.02),
        (-0.022, 0.3),
        (-0.16, 0.56),
        (-0.14, 0.57),
        (0, 0.42),
        (0.1, 0.6),
        (0.125, 0.58),
    ]
    canvas.shape([placed(x, y, size, [*trunk, (0.03, 0.36), (0.04, -0.02)])], bark)
    masses = [(-0.2, 0.56, 0.18), (0.2, 0.58, 0.17), (-0.07, 0.72, 0.22), (0.11, 0.74, 0.2), (0.0, 0.56, 0.2)]
    crown = []
    for px, py, radius in masses:
        wobble = rng.uniform(0.9, 1.1)
        crown.append(disc(x + px * size * wobble, y - py * size, radius * size * wobble))
    canvas.shape(crown, leaf, shade=adjust(leaf, light=-0.14), rise=0.85)
    lit = [disc(x + (px - 0.05) * size, y - (py + 0.05) * size, r * size * 0.5) for px, py, r in masses[:4]]
    canvas.shape(lit, adjust(leaf, light=0.07), opacity=0.55)


def cactus(x: float, y: float, size: float) -> list[list[Point]]:
    """Return a saguaro as paths for one shape."""

    def bar(left: float, low: float, right: float, high: float) -> list[list[Point]]:
        half = (right - left) / 2
        cap = disc(x + (left + half) * size, y - high * size, half * size)
        return [box(x + left * size, y - high * size, x + right * size, y - low * size), cap]

    return [
        *bar(-0.08, -0.03, 0.08, 0.92),
        *bar(-0.33, 0.42, -0.22, 0.66),
        *bar(0.21, 0.34, 0.32, 0.78),
        disc(x - 0.275 * size, y - 0.42 * size, 0.055 * size),
        disc(x + 0.265 * size, y - 0.34 * size, 0.055 * size),
        box(x - 0.275 * size, y - 0.475 * size, x, y - 0.365 * size),
        box(x, y - 0.395 * size, x + 0.265 * size, y - 0.285 * size),
    ]
