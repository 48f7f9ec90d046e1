"""Things that the sketch model puts into its pictures: boats, balloons, houses, animals, trees.

Each function draws one thing that stands on, or hangs at, a point; `size` is its height in pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from services.local.canvas import Canvas, Point, box, curve, disc, turned
from services.local.palette import Colour, Palette, adjust, at_lightness, lightness, mix

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random


def _placed(x: float, y: float, size: float, points: Sequence[Point]) -> list[Point]:
    """Points in units of the size, x to the right and y up, as pixels around a foot at (x, y)."""
    return [(x + px * size, y - py * size) for px, py in points]


def pine(x: float, y: float, size: float, rng: Random) -> list[Point]:
    """A conifer as one path."""
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
    return _placed(x, y, size, [*left, (-0.03, 0.0), (-0.03, -0.06), (0.03, -0.06), (0.03, 0.0), *right[::-1]])


def tree(canvas: Canvas, x: float, y: float, size: float, leaf: Colour, bark: Colour, rng: Random) -> None:
    """A broad-leaved tree with a crown of a few round masses."""
    trunk = [
        (-0.035, -0.02),
        (-0.022, 0.3),
        (-0.16, 0.56),
        (-0.14, 0.57),
        (0, 0.42),
        (0.1, 0.6),
        (0.125, 0.58),
    ]
    canvas.shape([_placed(x, y, size, [*trunk, (0.03, 0.36), (0.04, -0.02)])], bark)
    masses = [(-0.2, 0.56, 0.18), (0.2, 0.58, 0.17), (-0.07, 0.72, 0.22), (0.11, 0.74, 0.2), (0.0, 0.56, 0.2)]
    crown = []
    for px, py, radius in masses:
        wobble = rng.uniform(0.9, 1.1)
        crown.append(disc(x + px * size * wobble, y - py * size, radius * size * wobble))
    canvas.shape(crown, leaf, shade=adjust(leaf, light=-0.14), rise=0.85)
    lit = [disc(x + (px - 0.05) * size, y - (py + 0.05) * size, r * size * 0.5) for px, py, r in masses[:4]]
    canvas.shape(lit, adjust(leaf, light=0.07), opacity=0.55)


def sailboat(canvas: Canvas, x: float, y: float, size: float, palette: Palette, colour: Colour | None) -> None:
    """A sloop on the waterline at (x, y), with its reflection."""
    sail = colour or mix(palette.light, palette.accent, 0.12)
    second = mix(palette.accent, palette.light, 0.1) if colour is None else adjust(colour, light=-0.1)
    hull = at_lightness(palette.near, 0.26)
    for row in range(6):
        half = size * (0.24 - row * 0.03)
        top = y + size * (0.06 + row * 0.07)
        canvas.shape([box(x - half, top, x + half, top + size * 0.022)], mix(sail, hull, 0.35), opacity=0.5)
    canvas.shape([_placed(x, y, size, [(0.035, 0.16), (0.035, 1.0), (0.2, 0.5), (0.36, 0.16)])], sail)
    canvas.shape(
        [_placed(x, y, size, [(-0.02, 0.18), (-0.02, 0.9), (-0.16, 0.45), (-0.27, 0.18)])],
        second,
        shade=adjust(second, light=-0.1),
    )
    canvas.stroke(_placed(x, y, size, [(0.008, 0.0), (0.008, 1.03)]), size * 0.018, hull)
    canvas.shape([_placed(x, y, size, [(-0.34, 0.11), (0.42, 0.11), (0.3, 0.0), (0.2, -0.03), (-0.22, -0.03)])], hull)


def lighthouse(canvas: Canvas, x: float, y: float, size: float, palette: Palette, colour: Colour | None) -> None:
    """A banded tower with a lit lamp, its foot at (x, y)."""
    band = colour or mix((206, 62, 52), palette.near, 0.12)
    wall = at_lightness(mix(palette.light, palette.horizon, 0.3), 0.9 if not palette.dark else 0.78)
    hull = at_lightness(palette.near, 0.24)
    canvas.glow(x, y - size * 0.87, size * 0.55, palette.light, 0.85)
    beam = mix(palette.light, palette.horizon, 0.2)
    for side in (-1, 1):
        rays = [(0.0, 0.875), (side * 4, 1.36), (side * 4, 0.7), (0.0, 0.86)]
        canvas.shape([_placed(x, y, size, rays)], beam, opacity=0.28 if palette.dark else 0.16)

    def half(height: float) -> float:
        return 0.105 - 0.045 * height

    def part(low: float, high: float) -> list[Point]:
        return _placed(x, y, size, [(-half(low), low), (-half(high), high), (half(high), high), (half(low), low)])

    canvas.shape([part(0, 0.8)], wall)
    canvas.shape([part(0.08, 0.24), part(0.4, 0.56), part(0.7, 0.8)], band)
    shadow = _placed(x, y, size, [(0.03, 0), (0.025, 0.8), (half(0.8), 0.8), (half(0), 0)])
    canvas.shape([shadow], hull, opacity=0.2)
    canvas.shape([_placed(x, y, size, [(-0.1, 0.8), (0.1, 0.8), (0.1, 0.825), (-0.1, 0.825)])], hull)
    canvas.shape(
        [_placed(x, y, size, [(-0.045, 0.825), (0.045, 0.825), (0.045, 0.91), (-0.045, 0.91)])], palette.light
    )
    canvas.shape([_placed(x, y, size, [(-0.065, 0.91), (0.065, 0.91), (0.0, 1.0)])], hull)


def balloon(canvas: Canvas, x: float, y: float, size: float, palette: Palette, colour: Colour | None) -> None:
    """A hot-air balloon whose basket's foot is at (x, y)."""
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
    canvas.shape([_placed(x, y, size, [(-0.06, 0.1), (0.06, 0.1), (0.05, 0.0), (-0.05, 0.0)])], cord)


def cabin(canvas: Canvas, x: float, y: float, size: float, palette: Palette, colour: Colour | None) -> None:
    """A small house with lit windows and smoke."""
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
    canvas.shape([_placed(x, y, size, [(0.24, 0.6), (0.36, 0.6), (0.36, 1.02), (0.24, 1.02)])], roof)
    canvas.shape(
        [_placed(x, y, size, [(-0.55, 0), (-0.55, 0.5), (0.55, 0.5), (0.55, 0)])],
        wall,
        shade=adjust(wall, light=-0.1),
    )
    canvas.shape([_placed(x, y, size, [(-0.68, 0.46), (-0.4, 0.95), (0.4, 0.95), (0.68, 0.46)])], roof)
    canvas.glow(x - size * 0.26, y - size * 0.27, size * 0.5, palette.light, 0.5)
    panes = [box(x + px * size, y - 0.36 * size, x + (px + 0.16) * size, y - 0.18 * size) for px in (-0.36, 0.24)]
    canvas.shape(panes, mix(palette.light, (255, 205, 110), 0.55))
    canvas.shape([box(x - 0.06 * size, y - 0.34 * size, x + 0.1 * size, y)], at_lightness(roof, 0.18))


def tent(canvas: Canvas, x: float, y: float, size: float, palette: Palette, colour: Colour | None) -> None:
    """A ridge tent that glows from inside."""
    cloth = colour or palette.accent
    canvas.glow(x, y - size * 0.3, size * 1.2, palette.light, 0.6)
    canvas.shape([_placed(x, y, size, [(-0.8, 0), (0, 1), (0.8, 0)])], adjust(cloth, light=0.08), cloth)
    canvas.shape([_placed(x, y, size, [(-0.22, 0), (0, 1), (0.22, 0)])], mix(palette.light, (255, 214, 130), 0.5))
    canvas.shape([_placed(x, y, size, [(0, 1), (0.8, 0), (0.5, 0)])], adjust(cloth, light=-0.16), opacity=0.6)


def birds(canvas: Canvas, x: float, y: float, size: float, colour: Colour, rng: Random, count: int) -> None:
    """A loose flight of birds around (x, y); `size` is the flight's width."""
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
        canvas.shape([_placed(bx, by, wing, [*left, (-0.5, lift - 0.02)])], colour)


def whale(canvas: Canvas, x: float, y: float, size: float, palette: Palette, colour: Colour | None) -> None:
    """A whale's tail that rises from the water at (x, y)."""
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
    canvas.shape([curve(_placed(x, y, size, tail), 6)], skin, shade=adjust(skin, light=0.08), from_top=True)
    for ring, opacity in ((0.34, 0.8), (0.55, 0.4)):
        canvas.shape([disc(x, y, size * ring, stretch=0.1)], palette.light, opacity=opacity * 0.6)


def rocket(canvas: Canvas, x: float, y: float, size: float, palette: Palette, colour: Colour | None) -> None:
    """A rocket under way to the upper right, its middle at (x, y)."""
    body = at_lightness(mix(palette.light, palette.horizon, 0.1), 0.93)
    trim = colour or palette.accent
    around = (x, y)

    def part(points: Sequence[Point]) -> list[Point]:
        return turned(_placed(x, y + size * 0.5, size, points), 0.5, around)

    flame = mix(palette.light, palette.accent, 0.4)
    canvas.shape([part([(-0.09, 0.1), (0.0, -0.62), (0.09, 0.1)])], flame, opacity=0.85)
    canvas.shape([part([(-0.045, 0.1), (0.0, -0.3), (0.045, 0.1)])], palette.light)
    canvas.shape(
        [part([(-0.1, 0.36), (-0.24, 0.04), (-0.1, 0.12)]), part([(0.1, 0.36), (0.24, 0.04), (0.1, 0.12)])],
        trim,
    )
    hull = curve([(0.0, 1.02), (0.1, 0.8), (0.14, 0.5), (0.1, 0.1), (-0.1, 0.1), (-0.14, 0.5), (-0.1, 0.8)], 6)
    canvas.shape([part(hull)], body)
    canvas.shape([part([(px * 1.0, py) for px, py in hull if py > 0.78])], trim)
    canvas.shape([part([(px, py) for px, py in hull if px > 0.03])], palette.near, opacity=0.18)
    port = turned([(x, y - size * 0.08)], 0.5, around)[0]
    canvas.shape([disc(*port, size * 0.065)], trim)
    canvas.shape([disc(*port, size * 0.042)], at_lightness(palette.sky, 0.45))


def cactus(x: float, y: float, size: float) -> list[list[Point]]:
    """A saguaro as paths for one shape."""

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


def walker(canvas: Canvas, x: float, y: float, size: float, palette: Palette, colour: Colour | None) -> None:
    """A wanderer in a cloak, seen from behind."""
    cloak = colour or palette.accent
    dark = at_lightness(palette.near, 0.18)
    canvas.shape([_placed(x, y, size, [(-0.1, 0.02), (-0.08, 0.3), (-0.01, 0.3), (-0.03, 0.0)])], dark)
    canvas.shape([_placed(x, y, size, [(0.03, 0.0), (0.02, 0.3), (0.1, 0.3), (0.11, 0.02)])], dark)
    outline = [(-0.22, 0.1), (-0.14, 0.6), (-0.06, 0.82), (0.06, 0.82), (0.15, 0.6), (0.24, 0.08)]
    canvas.shape([_placed(x, y, size, outline)], cloak, shade=adjust(cloak, light=-0.16), rise=0.9)
    canvas.shape([disc(x, y - size * 0.87, size * 0.095, stretch=1.1)], dark)
    canvas.shape([_placed(x, y, size, [(-0.2, 0.84), (0.0, 1.05), (0.2, 0.84)])], adjust(cloak, light=-0.12))
    canvas.stroke(_placed(x, y, size, [(0.27, 0.0), (0.25, 0.86)]), max(1.0, size * 0.02), dark)


def animal(
    canvas: Canvas, x: float, y: float, size: float, kind: str, palette: Palette, colour: Colour | None
) -> None:
    """A sitting animal, looking at us: `kind` is cat, fox, dog, bear or rabbit. Its paws are at (x, y)."""
    usual = {
        "cat": (70, 66, 82),
        "fox": (222, 108, 44),
        "dog": (196, 142, 84),
        "bear": (122, 82, 58),
        "rabbit": (214, 196, 178),
    }[kind]
    coat = mix(usual, palette.near, 0.12) if colour is None else mix(colour, usual, 0.18)
    if palette.dark:
        coat = adjust(coat, light=-0.06)
    deep = adjust(coat, light=-0.17)
    belly = mix(coat, (255, 248, 236), 0.82 if kind == "fox" else 0.5)
    eye = (28, 24, 30) if lightness(coat) > 0.4 else at_lightness(palette.light, 0.9)

    def at(points: Sequence[Point]) -> list[Point]:
        return _placed(x, y, size, points)

    tails = {
        "cat": [
            (0.18, 0.02),
            (0.4, 0.04),
            (0.47, 0.24),
            (0.4, 0.42),
            (0.45, 0.45),
            (0.54, 0.24),
            (0.44, -0.02),
        ],
        "fox": [(0.14, 0.0), (0.42, -0.02), (0.58, 0.18), (0.5, 0.46), (0.38, 0.34), (0.32, 0.16)],
        "dog": [(0.2, 0.05), (0.4, 0.16), (0.46, 0.34), (0.4, 0.35), (0.3, 0.22), (0.18, 0.16)],
    }
    if kind in tails:
        canvas.shape([curve(at(tails[kind]))], coat, shade=deep)
    if kind == "fox":
        canvas.shape([curve(at([(0.58, 0.24), (0.5, 0.47), (0.41, 0.37), (0.49, 0.34)]))], belly)
    ears: dict[str, tuple[list[Point], list[Point]]] = {
        "cat": ([(-0.19, 0.76), (-0.17, 1.0), (-0.02, 0.86)], [(-0.15, 0.82), (-0.145, 0.94), (-0.07, 0.86)]),
        "fox": (
            [(-0.21, 0.76), (-0.18, 1.05), (-0.01, 0.86)],
            [(-0.16, 0.82), (-0.155, 0.98), (-0.06, 0.87)],
        ),
        "dog": ([(-0.13, 0.88), (-0.27, 0.84), (-0.28, 0.58), (-0.17, 0.62)], []),
        "bear": (disc(-0.14, 0.86, 0.075), disc(-0.14, 0.86, 0.04)),
        "rabbit": (
            curve([(-0.12, 0.78), (-0.17, 1.02), (-0.12, 1.26), (-0.05, 1.02), (-0.03, 0.8)]),
            curve([(-0.105, 0.86), (-0.13, 1.02), (-0.11, 1.18), (-0.075, 1.02), (-0.07, 0.88)]),
        ),
    }
    outer, inner = ears[kind]
    flip = [(-px, py) for px, py in outer]
    ear_ink = deep if kind == "dog" else coat
    if kind != "dog":
        canvas.shape([at(outer), at(flip)], ear_ink)
        pink = mix(coat, (240, 150, 140), 0.45)
        canvas.shape([at(inner), at([(-px, py) for px, py in inner])], pink)
    body = curve(
        [
            (0.0, 0.66),
            (0.15, 0.56),
            (0.21, 0.3),
            (0.25, 0.1),
            (0.2, 0.0),
            (-0.2, 0.0),
            (-0.25, 0.1),
            (-0.21, 0.3),
            (-0.15, 0.56),
        ]
    )
    canvas.shape([at(body)], coat, shade=deep, rise=0.75)
    canvas.shape([curve(at([(0.0, 0.58), (0.1, 0.44), (0.09, 0.2), (0.0, 0.1), (-0.09, 0.2), (-0.1, 0.44)]))], belly)
    for side in (-1, 1):
        canvas.shape(
            [disc(x + side * 0.085 * size, y - 0.025 * size, 0.07 * size, stretch=0.55)],
            adjust(coat, light=0.05),
        )
    wide = 0.225 if kind in {"bear", "dog"} else 0.21
    face: list[Point] = [
        (0.0, 0.92),
        (0.13, 0.89),
        (wide, 0.74),
        (0.13, 0.6),
        (0.0, 0.545),
        (-0.13, 0.6),
        (-wide, 0.74),
        (-0.13, 0.89),
    ]
    if kind == "fox":
        face = [
            (0.0, 0.9),
            (0.13, 0.88),
            (0.235, 0.72),
            (0.1, 0.59),
            (0.0, 0.52),
            (-0.1, 0.59),
            (-0.235, 0.72),
            (-0.13, 0.88),
        ]
    canvas.shape([curve(at(face))], coat)
    if kind == "fox":
        for side in (-1, 1):
            cheek = [
                (0.0, 0.53),
                (side * 0.1, 0.595),
                (side * 0.22, 0.71),
                (side * 0.12, 0.7),
                (side * 0.03, 0.68),
            ]
            canvas.shape([at(cheek)], belly)
    else:
        muzzle = 0.1 if kind in {"bear", "dog"} else 0.08
        canvas.shape([disc(x, y - 0.63 * size, muzzle * size, stretch=0.72)], belly)
    if kind == "dog":
        canvas.shape([curve(at(outer)), curve(at(flip))], ear_ink)
    for side in (-1, 1):
        canvas.shape([disc(x + side * 0.095 * size, y - 0.745 * size, 0.024 * size, stretch=1.25)], eye)
        canvas.shape([disc(x + side * 0.095 * size + 0.008 * size, y - 0.755 * size, 0.008 * size)], (255, 255, 255))
    nose = 0.56 if kind == "fox" else 0.655
    dark = (38, 28, 32)
    canvas.shape([at([(-0.028, nose + 0.02), (0.028, nose + 0.02), (0.0, nose - 0.016)])], dark)
    if kind in {"cat", "rabbit"}:
        whiskers = mix(belly, (255, 255, 255), 0.5)
        for side in (-1, 1):
            for slope in (-0.02, 0.02):
                ends = at([(side * 0.08, 0.635), (side * 0.25, 0.635 + slope * 1.6)])
                canvas.stroke(ends, max(0.7, size * 0.006), whiskers)


def vase(
    canvas: Canvas, x: float, y: float, size: float, palette: Palette, colour: Colour | None, rng: Random
) -> None:
    """A vase of flowers that stands at (x, y)."""
    pot = colour or mix(palette.far, palette.near, 0.45)
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
        canvas.stroke(_placed(x, y, size, bend), max(1.0, size * 0.012), green)
        leaf = curve(
            _placed(x, y, size, [(px * 0.35, py * 0.62), (px * 0.75 + 0.05, py * 0.7), (px * 0.6, py * 0.56)])
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
    canvas.shape([_placed(x, y, size, path)], adjust(pot, light=0.05), pot, shade=adjust(pot, light=-0.14))
    canvas.shape(
        [_placed(x, y, size, [(-0.15, 0.26), (-0.11, 0.33), (-0.1, 0.12), (-0.13, 0.1)])],
        palette.light,
        opacity=0.22,
    )


def cup(canvas: Canvas, x: float, y: float, size: float, palette: Palette, colour: Colour | None) -> None:
    """A steaming cup on a saucer that stands at (x, y)."""
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
    canvas.shape([_placed(x, y, size, bowl)], glaze, shade=adjust(glaze, light=-0.12), rise=0.7)
    canvas.shape([disc(x, y - size * 0.52, size * 0.36, stretch=0.2)], adjust(glaze, light=0.04))
    canvas.shape([disc(x, y - size * 0.515, size * 0.315, stretch=0.17)], (84, 52, 36), (122, 78, 52))
