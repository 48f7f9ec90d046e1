"""Lighthouse, cabin and tent."""

from __future__ import annotations

from imagegateway.providers.local.sketch.canvas import Canvas, Point, box, disc, placed
from imagegateway.providers.local.sketch.palette import Colour, Palette, adjust, at_lightness, mix


def lighthouse(canvas: Canvas, foot: Point, size: float, palette: Palette, colour: Colour | None) -> None:
    """Draw a banded tower with a lit lamp, its foot at `foot`."""
    x, y = foot
    band = colour or mix((206, 62, 52), palette.near, 0.12)
    wall = at_lightness(mix(palette.light, palette.horizon, 0.3), 0.9 if not palette.dark else 0.78)
    hull = at_lightness(palette.near, 0.24)
    canvas.glow(x, y - size * 0.87, size * 0.55, palette.light, 0.85)
    beam = mix(palette.light, palette.horizon, 0.2)
    for side in (-1, 1):
        rays = [(0.0, 0.875), (side * 4, 1.36), (side * 4, 0.7), (0.0, 0.86)]
        canvas.shape([placed(x, y, size, rays)], beam, opacity=0.28 if palette.dark else 0.16)

    def half(height: float) -> float:
        return 0.105 - 0.045 * height

    def part(low: float, high: float) -> list[Point]:
        return placed(x, y, size, [(-half(low), low), (-half(high), high), (half(high), high), (half(low), low)])

    canvas.shape([part(0, 0.8)], wall)
    canvas.shape([part(0.08, 0.24), part(0.4, 0.56), part(0.7, 0.8)], band)
    shadow = placed(x, y, size, [(0.03, 0), (0.025, 0.8), (half(0.8), 0.8), (half(0), 0)])
    canvas.shape([shadow], hull, opacity=0.2)
    canvas.shape([placed(x, y, size, [(-0.1, 0.8), (0.1, 0.8), (0.1, 0.825), (-0.1, 0.825)])], hull)
    canvas.shape(
        [placed(x, y, size, [(-0.045, 0.825), (0.045, 0.825), (0.045, 0.91), (-0.045, 0.91)])], palette.light
    )
    canvas.shape([placed(x, y, size, [(-0.065, 0.91), (0.065, 0.91), (0.0, 1.0)])], hull)


def cabin(canvas: Canvas, foot: Point, size: float, palette: Palette, colour: Colour | None) -> None:
    """Draw a small house with lit windows and smoke."""
    x, y = foot
    wall = colour or mix(at_lightness(palette.near, 0.36), palette.accent, 0.18)
    roof = at_lightness(palette.near, 0.22)
    smoke = mix(palette.horizon, palette.light, 0.4)
    for puff in range(5):
        place = disc(
            x + size * (0.3 + 0.05 * puff**1.4),
            y - size * (1.08 + 0.15 * puff),
            size * (0.045 + 0.018 * puff),
        )
        canvas.shape([place], smoke, opacity=0.5 - 0.08 * puff)
    canvas.shape([placed(x, y, size, [(0.24, 0.6), (0.36, 0.6), (0.36, 1.02), (0.24, 1.02)])], roof)
    canvas.shape(
        [placed(x, y, size, [(-0.55, 0), (-0.55, 0.5), (0.55, 0.5), (0.55, 0)])],
        wall,
        shade=adjust(wall, light=-0.1),
    )
    canvas.shape([placed(x, y, size, [(-0.68, 0.46), (-0.4, 0.95), (0.4, 0.95), (0.68, 0.46)])], roof)
    canvas.glow(x - size * 0.26, y - size * 0.27, size * 0.5, palette.light, 0.5)
    panes = [box(x + px * size, y - 0.36 * size, x + (px + 0.16) * size, y - 0.18 * size) for px in (-0.36, 0.24)]
    canvas.shape(panes, mix(palette.light, (255, 205, 110), 0.55))
    canvas.shape([box(x - 0.06 * size, y - 0.34 * size, x + 0.1 * size, y)], at_lightness(roof, 0.18))


def tent(canvas: Canvas, foot: Point, size: float, palette: Palette, colour: Colour | None) -> None:
    """Draw a ridge tent that glows from inside."""
    x, y = foot
    cloth = colour or palette.accent
    canvas.glow(x, y - size * 0.3, size * 1.2, palette.light, 0.6)
    canvas.shape([placed(x, y, size, [(-0.8, 0), (0, 1), (0.8, 0)])], adjust(cloth, light=0.08), cloth)
    canvas.shape([placed(x, y, size, [(-0.22, 0), (0, 1), (0.22, 0)])], mix(palette.light, (255, 214, 130), 0.5))
    canvas.shape([placed(x, y, size, [(0, 1), (0.8, 0), (0.5, 0)])], adjust(cloth, light=-0.16), opacity=0.6)
