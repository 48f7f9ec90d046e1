"""Craft for water, air and space: sailboat, hot-air balloon, rocket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.providers.local.sketch.canvas import Canvas, Point, box, curve, disc, placed, turned
from imagegateway.providers.local.sketch.palette import Colour, Palette, adjust, at_lightness, mix

if TYPE_CHECKING:
    from collections.abc import Sequence


def sailboat(canvas: Canvas, foot: Point, size: float, palette: Palette, colour: Colour | None) -> None:
    """Draw a sloop on the waterline at `foot`, with its reflection."""
    x, y = foot
    sail = colour or mix(palette.light, palette.accent, 0.12)
    second = mix(palette.accent, palette.light, 0.1) if colour is None else adjust(colour, light=-0.1)
    hull = at_lightness(palette.near, 0.26)
    for row in range(6):
        half = size * (0.24 - row * 0.03)
        top = y + size * (0.06 + row * 0.07)
        canvas.shape([box(x - half, top, x + half, top + size * 0.022)], mix(sail, hull, 0.35), opacity=0.5)
    canvas.shape([placed(x, y, size, [(0.035, 0.16), (0.035, 1.0), (0.2, 0.5), (0.36, 0.16)])], sail)
    canvas.shape(
        [placed(x, y, size, [(-0.02, 0.18), (-0.02, 0.9), (-0.16, 0.45), (-0.27, 0.18)])],
        second,
        shade=adjust(second, light=-0.1),
    )
    canvas.stroke(placed(x, y, size, [(0.008, 0.0), (0.008, 1.03)]), size * 0.018, hull)
    canvas.shape([placed(x, y, size, [(-0.34, 0.11), (0.42, 0.11), (0.3, 0.0), (0.2, -0.03), (-0.22, -0.03)])], hull)


def balloon(canvas: Canvas, foot: Point, size: float, palette: Palette, colour: Colour | None) -> None:
    """Draw a hot-air balloon whose basket's foot is at `foot`."""
    x, y = foot
    skin = colour or palette.accent
    pale = at_lightness(mix(palette.light, palette.horizon, 0.15), 0.94)
    radius = size * 0.36
    middle = y - size * 0.64
    outline = [
        (-1.0, 0.0),
        (-0.72, -0.7),
        (0.0, -1.0),
        (0.72, -0.7),
        (1.0, 0.0),
        (0.66, 0.72),
        (0.2, 1.28),
        (-0.2, 1.28),
    ]
    outline += [(-0.66, 0.72)]
    envelope = curve(outline)
    for inset, ink in ((1.0, skin), (0.68, pale), (0.36, skin)):
        path = [(x + px * radius * inset, middle + py * radius) for px, py in envelope]
        canvas.shape([path], ink, shade=adjust(ink, light=-0.15), rise=0.7)
    shadow = [(x + (0.55 + 0.45 * px) * radius, middle + py * radius) for px, py in envelope if px >= -0.2]
    canvas.shape([shadow], adjust(skin, light=-0.3), opacity=0.16)
    cord = at_lightness(palette.near, 0.3)
    for side in (-1, 1):
        ends = [(x + side * radius * 0.2, middle + radius * 1.26), (x + side * size * 0.045, y - size * 0.1)]
        canvas.stroke(ends, max(0.8, size * 0.008), cord)
    canvas.shape([placed(x, y, size, [(-0.06, 0.1), (0.06, 0.1), (0.05, 0.0), (-0.05, 0.0)])], cord)


def rocket(canvas: Canvas, foot: Point, size: float, palette: Palette, colour: Colour | None) -> None:
    """Draw a rocket that flies to the upper right, its middle at `foot`."""
    x, y = foot
    body = at_lightness(mix(palette.light, palette.horizon, 0.1), 0.93)
    trim = colour or palette.accent
    around = (x, y)

    def part(points: Sequence[Point]) -> list[Point]:
        return turned(placed(x, y + size * 0.5, size, points), 0.5, around)

    flame = mix(palette.light, palette.accent, 0.4)
    canvas.shape([part([(-0.09, 0.1), (0.0, -0.62), (0.09, 0.1)])], flame, opacity=0.85)
    canvas.shape([part([(-0.045, 0.1), (0.0, -0.3), (0.045, 0.1)])], palette.light)
    canvas.shape(
        [part([(-0.1, 0.36), (-0.24, 0.04), (-0.1, 0.12)]), part([(0.1, 0.36), (0.24, 0.04), (0.1, 0.12)])],
        trim,
    )
    hull = curve([(0.0, 1.02), (0.1, 0.8), (0.14, 0.5), (0.1, 0.1), (-0.1, 0.1), (-0.14, 0.5), (-0.1, 0.8)], 6)
    canvas.shape([part(hull)], body)
    canvas.shape([part([(px, py) for px, py in hull if py > 0.78])], trim)
    canvas.shape([part([(px, py) for px, py in hull if px > 0.03])], palette.near, opacity=0.18)
    port = turned([(x, y - size * 0.08)], 0.5, around)[0]
    canvas.shape([disc(*port, size * 0.065)], trim)
    canvas.shape([disc(*port, size * 0.042)], at_lightness(palette.sky, 0.45))
