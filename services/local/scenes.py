"""The scenes of the sketch model: each paints a whole picture from a reading of the prompt."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, TYPE_CHECKING

from services.local import things
from services.local.canvas import Canvas, Path, Point, Profile, box, curve, disc, jagged, rolling, turned
from services.local.palette import Colour, Palette, adjust, at_lightness, lightness, mix
from services.local.reading import ANIMALS, Reading

if TYPE_CHECKING:
    from random import Random
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a scene is painted, and from what."""

    canvas: Canvas
    palette: Palette
    reading: Reading
    rng: Random

    @property
    def hazy(self) -> bool:
        """Whether the air hides the sun's edge."""
        return bool(self.reading.weather & {"rain", "mist"})


def _surface(canvas: Canvas, base: float, height: float, line: Profile) -> list[Point]:
    """The upper edge of a layer, from the left side to the right."""
    step = max(1.5, min(canvas.unit / 170, canvas.width / 40))
    count = math.ceil(canvas.width / step)
    return [(index * step, base - height * line(index * step)) for index in range(-1, count + 2)]


def _down(canvas: Canvas, edge: Path, depth: float | None = None) -> list[Point]:
    """A layer's path: its edge, closed at the picture's lower side or `depth` below the edge."""
    if depth is None:
        return [*edge, (canvas.width + 9, canvas.height + 2), (-9, canvas.height + 2)]
    return [*edge, *[(x, y + depth) for x, y in reversed(edge)]]


def _at(edge: Path, x: float) -> float:
    """The height of an edge at a place."""
    return min(edge, key=lambda point: abs(point[0] - x))[1]


def _stars(stage: Stage, bottom: float, count: int) -> None:
    canvas, rng = stage.canvas, stage.rng
    tiny, large = [], []
    dot = max(0.55, canvas.unit / 900)
    for _ in range(count):
        x, y = rng.uniform(0, canvas.width), rng.uniform(0, bottom) * rng.uniform(0.35, 1)
        if rng.random() < 0.07:
            arm = dot * rng.uniform(3, 6)
            core = arm * 0.16
            large += [
                [(x - arm, y), (x, y - core), (x + arm, y), (x, y + core)],
                [(x, y - arm), (x + core, y), (x, y + arm), (x - core, y)],
            ]
        else:
            radius = dot * rng.uniform(0.5, 1.5)
            tiny.append(disc(x, y, radius, steps=7))
    canvas.shape(tiny, stage.palette.light, opacity=0.75)
    canvas.shape(large, stage.palette.light, opacity=0.95)


def _luminary(stage: Stage, x: float, y: float, radius: float) -> None:
    """The sun, or the moon at night."""
    canvas, palette = stage.canvas, stage.palette
    canvas.glow(x, y, radius * 5.5, mix(palette.light, palette.horizon, 0.35), 0.75)
    canvas.glow(x, y, radius * 2.4, palette.light, 0.55)
    if not palette.dark:
        core = palette.light if not stage.hazy else mix(palette.light, palette.horizon, 0.45)
        warm = mix(core, palette.accent, 0.16 if not stage.hazy else 0.05)
        canvas.shape([disc(x, y, radius)], core, warm)
    elif stage.rng.random() < 0.5:
        arc = [math.pi * (0.5 + step / 40) for step in range(41)]
        outer = [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in arc]
        inner = [(x + radius * 0.62 * math.cos(turn), y + radius * math.sin(turn)) for turn in reversed(arc)]
        canvas.shape([turned([*outer, *inner], 0.5, (x, y))], palette.light)
    else:
        canvas.shape([disc(x, y, radius)], palette.light)
        sea = mix(palette.light, palette.far, 0.22)
        for px, py, size in ((-0.35, -0.2, 0.24), (0.25, 0.3, 0.3), (0.3, -0.4, 0.14), (-0.2, 0.5, 0.13)):
            canvas.shape([disc(x + px * radius, y + py * radius, size * radius)], sea, opacity=0.6)


def _clouds(stage: Stage, top: float, bottom: float, count: int) -> None:
    """Flat clouds of a few long rounded bars."""
    canvas, palette, rng = stage.canvas, stage.palette, stage.rng
    unit = canvas.unit
    for _ in range(count):
        x, y = rng.uniform(0, canvas.width), rng.uniform(top, bottom)
        scale = unit * rng.uniform(0.12, 0.22) * (0.6 + 0.6 * (1 - (y - top) / max(1.0, bottom - top)))
        thick = scale * 0.13
        bars: list[Path] = []
        for row in range(rng.choice((2, 3, 3))):
            half = scale * rng.uniform(0.45, 1.0) * (0.75 + 0.25 * row)
            shift = rng.uniform(-0.35, 0.35) * scale
            centre = y + row * thick * 1.7
            left, right = x + shift - half, x + shift + half
            ends = [disc(side, centre, thick, steps=24) for side in (left, right)]
            bars += [box(left, centre - thick, right, centre + thick), *ends]
        light = mix(palette.light, palette.sky, 0.45 if palette.dark else 0.18)
        canvas.shape(bars, light, opacity=0.3 if palette.dark else 0.55)


def _sky(stage: Stage, horizon: float, *, radius: float = 0.085, high: bool = False) -> tuple[float, float]:
    """Sky, stars, luminary and clouds down to the horizon. Returns the luminary's place."""
    canvas, palette, rng, reading = stage.canvas, stage.palette, stage.rng, stage.reading
    canvas.wash((palette.zenith, palette.sky, palette.horizon), 0, math.ceil(horizon))
    canvas.wash((palette.horizon, palette.far), math.ceil(horizon))
    if palette.dark or "stars" in reading.weather:
        share = canvas.width * horizon / canvas.unit**2
        _stars(stage, horizon * 0.95, round(min(420, 150 * share)))
    x = canvas.width * rng.choice((rng.uniform(0.2, 0.4), rng.uniform(0.6, 0.8)))
    size = canvas.unit * radius * rng.uniform(0.85, 1.25)
    y = min(horizon * (rng.uniform(0.25, 0.5) if high or palette.dark else rng.uniform(0.5, 0.74)), horizon - size)
    y = max(y, horizon - canvas.unit * 0.62)
    _luminary(stage, x, y, size)
    if "clear" not in reading.weather:
        length = max(1.0, canvas.width / canvas.unit)
        _clouds(stage, horizon * 0.1, horizon * 0.62, round((2 if palette.dark else 3) * length))
    return x, y


def _mist(stage: Stage, y: float, height: float, strength: float) -> None:
    """A soft bank of air across the picture, thickest at `y`."""
    stage.canvas.haze(y, height, mix(stage.palette.horizon, stage.palette.light, 0.3), strength)


def _reflection(stage: Stage, x: float, top: float, radius: float) -> None:
    """The luminary's light on the water below `top`."""
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


def _ripples(stage: Stage, top: float, colour: Colour, count: int) -> None:
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


def _grove(stage: Stage, edge: Path, size: float, colour: Colour, spacing: float, gap: Profile | None = None) -> None:
    """Conifers along an edge; where `gap` is below zero none grow."""
    canvas, rng = stage.canvas, stage.rng
    trees: list[Path] = []
    x = rng.uniform(-1, 0) * size * spacing
    while x < canvas.width + size * 0.3:
        if gap is None or gap(x) > 0:
            trees.append(things.pine(x, _at(edge, x) + size * 0.03, size * rng.uniform(0.62, 1.12), rng))
        x += size * spacing * rng.uniform(0.5, 1.5)
    canvas.shape(trees, colour)


def _mountain_range(
    stage: Stage, base: float, height: float, colour: Colour, *, snow: bool, wavelength: float
) -> list[Point]:
    """A rocky range with a shaded side and, if wanted, snow."""
    canvas, palette, rng = stage.canvas, stage.palette, stage.rng
    line = jagged(rng, wavelength)
    edge = _surface(canvas, base, height, line)
    air = mix(colour, palette.horizon, 0.3)
    canvas.shape([_down(canvas, edge)], colour, mix(colour, air, 0.9), shade=air, rise=0.5)
    wobble = jagged(rng, wavelength * 0.16, 3)
    if snow:
        white = at_lightness(mix(palette.light, palette.sky, 0.22), 0.95 if not palette.dark else 0.74)
        cap = [(x, max(y, min(base - height * 0.28 + height * 0.2 * wobble(x), y + height * 0.62))) for x, y in edge]
        canvas.shape([[*edge, *reversed(cap)]], white)
    # The side away from the light: from each summit down to the right, with an edge that wanders.
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


def _weather(stage: Stage) -> None:
    canvas, palette, rng, weather = stage.canvas, stage.palette, stage.rng, stage.reading.weather
    area = canvas.width * canvas.height / canvas.unit**2
    if "rain" in weather:
        drops: list[Path] = []
        for _ in range(round(min(500, 170 * area))):
            x, y = rng.uniform(-0.1, 1.1) * canvas.width, rng.uniform(-0.05, 1) * canvas.height
            length = canvas.unit * rng.uniform(0.025, 0.06)
            thick = max(0.5, canvas.unit * 0.0013)
            drops.append(
                [
                    (x, y),
                    (x + thick, y),
                    (x - length * 0.22 + thick, y + length),
                    (x - length * 0.22, y + length),
                ]
            )
        canvas.shape(drops, palette.light, opacity=0.42)
    if "snow" in weather:
        flakes = [
            disc(
                rng.uniform(0, canvas.width),
                rng.uniform(0, canvas.height),
                max(0.5, canvas.unit * rng.choice((0.002, 0.003, 0.003, 0.006))),
                steps=12,
            )
            for _ in range(round(min(600, 190 * area)))
        ]
        canvas.shape(flakes, (255, 253, 248), opacity=0.85)


def _sea(stage: Stage) -> None:
    canvas, palette, rng, wanted = stage.canvas, stage.palette, stage.rng, stage.reading.things
    unit = canvas.unit
    horizon = round(canvas.height * rng.uniform(0.5, 0.58))
    x, _ = _sky(stage, horizon, radius=0.1)
    if rng.random() < 0.6 or "lighthouse" in wanted:
        edge = _surface(canvas, horizon, unit * 0.06, jagged(rng, unit * 0.9, 4))
        edge = [(px, min(py, horizon)) for px, py in edge]
        canvas.shape([[*edge, (canvas.width + 9, horizon), (-9, horizon)]], mix(palette.far, palette.sky, 0.35))
    water = palette.layers(7)
    canvas.shape(
        [box(-2, horizon, canvas.width + 2, canvas.height + 2)],
        mix(palette.horizon, water[0], 0.45),
        water[1],
        water[3],
    )
    _reflection(stage, x, horizon, unit * 0.11)
    _ripples(stage, horizon + unit * 0.02, palette.light, round(26 * canvas.width / unit))
    side = 0.3 if x > canvas.width / 2 else 0.7
    if "boat" in wanted or (not wanted and rng.random() < 0.75):
        things.sailboat(
            canvas,
            canvas.width * side,
            horizon + unit * 0.075,
            unit * (0.26 if "boat" in wanted else 0.15),
            palette,
            wanted.get("boat"),
        )
    if "whale" in wanted:
        things.whale(canvas, canvas.width * side, horizon + unit * 0.12, unit * 0.26, palette, wanted["whale"])
    rows = 4
    start = horizon + (canvas.height - horizon) * 0.3
    for row in range(rows):
        share = row / (rows - 1)
        base = start + (canvas.height - start) * (share * 0.86) ** 1.1
        length = unit * (0.2 + 0.16 * share)
        phase = rng.uniform(0, length)
        swell = rolling(rng, unit * 0.9)
        crest = unit * (0.018 + 0.026 * share)

        def line(at: float, length: float = length, phase: float = phase, swell: Profile = swell) -> float:
            wave = 1 - abs(math.sin(math.pi * (at + phase) / length)) ** 0.75
            return wave + 0.45 * swell(at)

        edge = _surface(canvas, base, crest, line)
        ink = water[min(6, 3 + row)]
        canvas.shape(
            [_down(canvas, edge)],
            ink,
            adjust(ink, light=-0.04),
            shade=adjust(ink, light=0.09),
            rise=0.55,
            from_top=True,
        )
        canvas.shape([_down(canvas, edge, unit * 0.0055)], mix(palette.light, ink, 0.2), opacity=0.85)
    if "lighthouse" in wanted:
        foot = canvas.height * 0.83
        place = canvas.width * side
        rock = curve(
            [
                (place - unit * 0.42, canvas.height + unit * 0.1),
                (place - unit * 0.26, foot + unit * 0.06),
                (place - unit * 0.1, foot - unit * 0.01),
                (place + unit * 0.1, foot),
                (place + unit * 0.25, foot + unit * 0.07),
                (place + unit * 0.4, canvas.height + unit * 0.1),
            ]
        )
        things.lighthouse(canvas, place, foot + unit * 0.02, unit * 0.56, palette, wanted["lighthouse"])
        canvas.shape([rock], palette.near, shade=adjust(palette.near, light=0.1), from_top=True, rise=0.5)
    if ANIMALS & wanted.keys() or wanted.keys() & {"walker", "cabin", "tent", "tree"}:
        beach = _surface(canvas, canvas.height * 0.9, unit * 0.03, rolling(rng, unit))
        sand = mix(palette.horizon, palette.near, 0.2 if not palette.dark else 0.55)
        canvas.shape([_down(canvas, beach)], sand, shade=mix(sand, palette.near, 0.3), rise=0.9)
        _on_ground(stage, beach)


def _lake(stage: Stage) -> None:
    canvas, palette, rng, wanted = stage.canvas, stage.palette, stage.rng, stage.reading.things
    unit = canvas.unit
    shore = canvas.height * rng.uniform(0.55, 0.6)
    x, _ = _sky(stage, shore, radius=0.075)
    layers = palette.layers(6)
    range_ink = mix(layers[0], layers[1], 0.5)
    peaks = _mountain_range(stage, shore - unit * 0.1, unit * 0.25, range_ink, snow=True, wavelength=unit * 0.62)
    _mist(stage, shore - unit * 0.03, unit * 0.14, 0.7)
    wood = _surface(canvas, shore - unit * 0.025, unit * 0.035, rolling(rng, unit * 0.8))
    wood_ink = mix(layers[2], layers[3], 0.5)
    canvas.shape([_down(canvas, wood)], wood_ink)
    _grove(stage, wood, unit * 0.06, wood_ink, 0.3)
    surface = box(-2, shore, canvas.width + 2, canvas.height + 2)
    canvas.shape([surface], mix(palette.horizon, palette.sky, 0.3), palette.sky, mix(palette.zenith, layers[3], 0.35))
    for edge, lift, ink, opacity in ((peaks, 0.0, range_ink, 0.5), (wood, unit * 0.045, wood_ink, 0.6)):
        mirrored = [(px, max(shore, 2 * shore - py + lift)) for px, py in edge]
        canvas.shape([[(-9, shore), *mirrored, (canvas.width + 9, shore)]], ink, opacity=opacity)
    _reflection(stage, x, shore + unit * 0.03, unit * 0.08)
    _ripples(stage, shore + unit * 0.015, palette.light, round(46 * canvas.width / unit))
    canvas.shape([box(-2, shore - unit * 0.0015, canvas.width + 2, shore + unit * 0.002)], palette.light, opacity=0.6)
    if "boat" in wanted:
        things.sailboat(canvas, canvas.width * 0.42, shore + unit * 0.12, unit * 0.26, palette, wanted["boat"])
    bank = _surface(canvas, canvas.height * 0.965, unit * 0.022, rolling(rng, unit))
    canvas.shape([_down(canvas, bank)], palette.near)
    middle = canvas.width * rng.uniform(0.42, 0.58)
    _grove(stage, bank, unit * 0.3, palette.near, 0.3, lambda at: abs(at - middle) - canvas.width * 0.31)
    _grove(stage, bank, unit * 0.1, palette.near, 0.5, lambda at: abs(at - middle) - canvas.width * 0.2)
    _on_ground(stage, bank)


def _mountain(stage: Stage) -> None:
    canvas, palette, rng = stage.canvas, stage.palette, stage.rng
    unit = canvas.unit
    horizon = canvas.height * rng.uniform(0.6, 0.68)
    _sky(stage, horizon)
    layers = palette.layers(6)
    _mountain_range(
        stage,
        horizon - unit * 0.06,
        unit * 0.2,
        mix(layers[0], palette.horizon, 0.35),
        snow=False,
        wavelength=unit * 0.45,
    )
    _mist(stage, horizon, unit * 0.16, 0.5)
    _mountain_range(stage, horizon + unit * 0.03, unit * 0.33, layers[1], snow=True, wavelength=unit * 0.62)
    _mist(stage, horizon + unit * 0.16, unit * 0.2, 0.75)
    rest = canvas.height - horizon
    for index, ink in enumerate(layers[3:]):
        base = horizon + rest * (0.42 + 0.23 * index)
        edge = _surface(canvas, base, unit * 0.05, rolling(rng, unit * (0.9 + 0.2 * index)))
        canvas.shape([_down(canvas, edge)], ink, shade=mix(ink, palette.horizon, 0.22), rise=0.45)
        size = unit * (0.06 + 0.055 * index)
        clearing = rolling(rng, unit * 1.1)
        _grove(stage, edge, size, ink, 0.3, None if index == 0 else lambda at, c=clearing: c(at) + 0.25)
    _on_ground(stage, edge)


def _forest(stage: Stage) -> None:
    canvas, palette, rng = stage.canvas, stage.palette, stage.rng
    unit = canvas.unit
    horizon = max(canvas.height * 0.66, canvas.height - unit * 0.8)
    _sky(stage, horizon, radius=0.1)
    layers = palette.layers(6)
    ground = max(canvas.height * 0.5, canvas.height - unit)
    for index, ink in enumerate(layers[:5]):
        base = ground + (canvas.height - ground) * (0.1 + 0.2 * index)
        edge = _surface(canvas, base, unit * 0.035, rolling(rng, unit * 0.9))
        size = unit * (0.15 + 0.085 * index)
        _grove(stage, edge, size, ink, 0.23 + 0.03 * index)
        canvas.shape([_down(canvas, edge)], ink, mix(ink, palette.horizon, 0.25 if index < 4 else 0.0))
        if index < 3:
            _mist(stage, base + unit * 0.06, unit * 0.17, 0.5)
    _on_ground(stage, edge, clear=True)
    # Tall near trees frame the view.
    near: list[Path] = []
    for side in (0, 1):
        for inward, size in ((0.02, 0.98), (0.15, 0.66)):
            x = canvas.width * side + (1 - 2 * side) * unit * (inward + rng.uniform(-0.03, 0.03))
            near.append(things.pine(x, canvas.height * 1.03, unit * size * rng.uniform(0.9, 1.08), rng))
    canvas.shape(near, layers[5], shade=mix(layers[5], palette.far, 0.3), rise=0.7, from_top=True)


def _hills(stage: Stage) -> None:
    canvas, palette, rng, wanted = stage.canvas, stage.palette, stage.rng, stage.reading.things
    unit = canvas.unit
    horizon = canvas.height * rng.uniform(0.55, 0.62)
    x, y = _sky(stage, horizon, high=rng.random() < 0.4)
    layers = palette.layers(6)
    far = _surface(canvas, horizon - unit * 0.03, unit * 0.08, rolling(rng, unit * 0.7))
    canvas.shape([_down(canvas, far)], mix(layers[0], palette.horizon, 0.35), layers[0])
    if not wanted:
        flight = canvas.width * (0.3 if x > canvas.width / 2 else 0.7)
        things.birds(
            canvas,
            flight,
            horizon * 0.45,
            unit * 0.22,
            at_lightness(palette.near, 0.3 if not palette.dark else 0.7),
            rng,
            6,
        )
    rest = canvas.height - horizon
    for index, ink in enumerate(layers[1:]):
        base = horizon + rest * (0.1 + 0.19 * index)
        edge = _surface(canvas, base, unit * (0.05 + 0.008 * index), rolling(rng, unit * (0.75 + 0.18 * index)))
        canvas.shape(
            [_down(canvas, edge)],
            adjust(ink, light=0.05),
            ink,
            shade=mix(ink, palette.horizon, 0.3),
            rise=0.65,
        )
        if index in {1, 2}:
            for _ in range(round(3 * canvas.width / unit)):
                place = rng.uniform(0, canvas.width)
                size = unit * (0.035 + 0.025 * index) * rng.uniform(0.8, 1.2)
                leaf = mix(layers[index + 2], palette.accent, rng.choice((0.0, 0.0, 0.3)))
                things.tree(canvas, place, _at(edge, place) + size * 0.04, size, leaf, layers[5], rng)
        if index == 2 and "cabin" in wanted:
            place = canvas.width * (0.32 if x > canvas.width / 2 else 0.68)
            things.cabin(canvas, place, _at(edge, place) + unit * 0.03, unit * 0.13, palette, wanted["cabin"])
    flowers: list[list[Path]] = [[], [], []]
    for _ in range(round(120 * canvas.width / unit)):
        share = rng.random() ** 0.7
        px, py = rng.uniform(0, canvas.width), _at(edge, rng.uniform(0, canvas.width)) + rest * 0.3 * share
        flowers[rng.randrange(3)].append(
            disc(px, max(py, _at(edge, px) + unit * 0.012), unit * (0.003 + 0.006 * share), steps=10)
        )
    for blooms, ink in zip(
        flowers, (palette.accent, palette.light, mix(palette.accent, palette.light, 0.5)), strict=True
    ):
        canvas.shape(blooms, ink, opacity=0.9)
    _on_ground(stage, edge)


def _desert(stage: Stage) -> None:
    canvas, palette, rng = stage.canvas, stage.palette, stage.rng
    unit = canvas.unit
    horizon = canvas.height * rng.uniform(0.52, 0.6)
    _sky(stage, horizon, radius=0.13)
    layers = palette.layers(6)
    mesas: list[Path] = []
    for _ in range(round(2.4 * canvas.width / unit)):
        x, half, top = (
            rng.uniform(0, canvas.width),
            unit * rng.uniform(0.05, 0.16),
            horizon - unit * rng.uniform(0.05, 0.14),
        )
        mesas.append(
            [
                (x - half * 1.5, horizon + 4),
                (x - half * 1.1, top + unit * 0.03),
                (x - half, top),
                (x + half * 0.9, top),
                (x + half * 1.05, top + unit * 0.035),
                (x + half * 1.5, horizon + 4),
            ]
        )
    canvas.shape(mesas, mix(layers[1], palette.horizon, 0.3), shade=mix(layers[0], palette.horizon, 0.45), rise=0.7)
    rest = canvas.height - horizon
    for index, ink in enumerate(layers[:5]):
        base = horizon + rest * (0.04 + 0.2 * index)
        line = rolling(rng, unit * (0.8 + 0.22 * index))
        edge = _surface(canvas, base, unit * (0.03 + 0.016 * index), line)
        bright = mix(ink, palette.light, 0.16)
        canvas.shape([_down(canvas, edge)], bright, ink, shade=mix(ink, palette.near, 0.3), rise=0.6)
        # A dune's lee: from each crest an edge winds down to the foot, and right of it lies shadow.
        lees: list[Path] = []
        for at in range(4, len(edge) - 4):
            px, py = edge[at]
            if py < edge[at - 1][1] and py <= edge[at + 1][1]:
                drop = unit * (0.1 + 0.07 * index)
                spine = [
                    (px + drop * (0.55 * math.sin(3.6 * share) - 0.2 * share), py + drop * share)
                    for share in (step / 16 for step in range(17))
                ]
                slope = [point for point in edge[at:] if point[0] - px < drop * 1.9]
                lees.append(
                    curve(
                        [
                            *slope[:: max(1, len(slope) // 6)],
                            (px + drop * 1.2, py + drop * 0.85),
                            *reversed(spine),
                        ],
                        4,
                    )
                )
        canvas.shape(lees, mix(ink, palette.near, 0.4), opacity=0.45)
    if not ANIMALS & stage.reading.things.keys() and (rng.random() < 0.7 or "cactus" in stage.reading.things):
        green = stage.reading.things.get("cactus") or mix((66, 116, 88), palette.near, 0.4)
        for share, size in ((rng.uniform(0.12, 0.3), 0.3), (rng.uniform(0.7, 0.88), 0.17)):
            foot = canvas.height - rest * (0.1 if size > 0.2 else 0.26)
            canvas.shape(
                things.cactus(canvas.width * share, foot, unit * size),
                green,
                shade=adjust(green, light=-0.12),
            )
    _on_ground(stage, edge)


def _city(stage: Stage) -> None:
    canvas, palette, rng = stage.canvas, stage.palette, stage.rng
    unit = canvas.unit
    horizon = canvas.height * rng.uniform(0.7, 0.76)
    x, _ = _sky(stage, horizon, radius=0.13)
    layers = palette.layers(5)
    lamp = mix(palette.light, (255, 206, 120), 0.4)
    for index, ink in enumerate(
        (mix(layers[0], palette.horizon, 0.3), layers[1], layers[2], mix(layers[3], layers[4], 0.6))
    ):
        buildings: list[Path] = []
        windows: list[Path] = []
        neon: list[Path] = []
        left = -unit * rng.uniform(0, 0.1)
        while left < canvas.width:
            wide = unit * rng.uniform(0.06, 0.13) * (0.75 + 0.17 * index)
            tall = unit * rng.triangular(0.12, 0.62, 0.27) * (1 - 0.13 * index)
            top = horizon - tall + unit * 0.03 * index
            right = left + wide
            buildings.append(box(left, top, right, canvas.height + 2))
            kind = rng.randrange(5)
            centre = (left + right) / 2
            if kind == 0:
                buildings.append([(left, top + 1), (centre, top - wide * 0.55), (right, top + 1)])
                buildings.append(box(centre - unit * 0.002, top - wide * 1.1, centre + unit * 0.002, top))
            elif kind == 1:
                buildings.append([(left, top + 1), (left, top - wide * 0.35), (right, top + 1)])
            elif kind == 2:
                buildings.append(box(left + wide * 0.22, top - wide * 0.3, right - wide * 0.22, top + 1))
                buildings.append(box(centre - unit * 0.002, top - wide * 0.85, centre + unit * 0.002, top))
            elif kind == 3:
                buildings.append(disc(centre, top, wide / 2, steps=40))
            pane = unit * 0.0105 * (0.7 + 0.16 * index)
            if index:
                columns = max(2, int(wide / (pane * 2.1)))
                gap = wide / columns
                for row in range(int((canvas.height - top) / (pane * 2.3))):
                    for column in range(columns):
                        if rng.random() < 0.3 + 0.16 * palette.dark:
                            px = left + gap * (column + 0.5)
                            py = top + pane * 1.6 + row * pane * 2.3
                            target = neon if rng.random() < 0.12 else windows
                            target.append(box(px - pane * 0.42, py, px + pane * 0.42, py + pane * 1.1))
            left = right + unit * rng.choice((0, 0, 0.004, 0.02))
        canvas.shape(buildings, ink, shade=mix(ink, palette.horizon, 0.4), rise=0.4)
        strength = (0.0, 0.4, 0.65, 0.85)[index] * (1.0 if palette.dark or lightness(palette.sky) < 0.72 else 0.6)
        canvas.shape(windows, lamp, opacity=strength)
        canvas.shape(neon, palette.accent, opacity=strength)
        if index < 3:
            _mist(stage, horizon + unit * 0.02, unit * 0.22, 0.35)
    street = canvas.height * 0.93
    canvas.shape(
        [box(-2, street, canvas.width + 2, canvas.height + 2)],
        mix(palette.near, palette.sky, 0.16),
        palette.near,
    )
    _reflection(stage, x, street, unit * 0.16)
    _on_ground(stage, [(0.0, street), (float(canvas.width), street)])


def _space(stage: Stage) -> None:
    canvas, palette, rng, wanted = stage.canvas, stage.palette, stage.rng, stage.reading.things
    unit, width, height = canvas.unit, canvas.width, canvas.height
    canvas.wash((palette.zenith, palette.sky, palette.horizon))
    angle = rng.uniform(-0.7, 0.7)
    hues = (palette.horizon, palette.far, palette.accent, palette.horizon)
    for step in range(11):
        share = step / 10 - 0.5
        x = width / 2 + share * width * 1.15 + rng.uniform(-0.06, 0.06) * unit
        y = height * 0.42 + math.sin(angle) * share * height * 0.9 + rng.uniform(-0.07, 0.07) * unit
        canvas.glow(x, y, unit * rng.uniform(0.2, 0.4), hues[step % 4], 0.42)
    _stars(stage, height, round(min(700, 240 * width * height / unit**2)))
    x, y = width * rng.choice((0.34, 0.66)), height * rng.uniform(0.36, 0.44)
    radius = unit * rng.uniform(0.2, 0.26)
    body = mix(palette.accent, palette.light, 0.15)
    canvas.glow(x, y, radius * 2.1, body, 0.5)
    tilt = rng.uniform(-0.45, 0.45)
    ring = rng.random() < 0.75

    def arc(start: float, outer: float, inner: float) -> Path:
        turns = [start + math.pi * step / 60 for step in range(61)]
        path = [(x + outer * math.cos(turn), y + outer * 0.26 * math.sin(turn)) for turn in turns]
        path += [(x + inner * math.cos(turn), y + inner * 0.26 * math.sin(turn)) for turn in reversed(turns)]
        return turned(path, tilt, (x, y))

    rings = ((1.95, 1.68, 0.9), (1.62, 1.42, 0.65), (1.38, 1.3, 0.4))
    if ring:
        for outer, inner, opacity in rings:
            canvas.shape([arc(math.pi, radius * outer, radius * inner)], palette.light, opacity=opacity)
    canvas.shape([disc(x, y, radius)], adjust(body, light=0.06), body)
    for band in range(5):
        low = -0.75 + band * 0.33 + rng.uniform(-0.05, 0.05)
        high = min(0.96, low + rng.uniform(0.07, 0.17))
        edge = [(math.sqrt(1 - at * at), at) for at in (low + (high - low) * step / 6 for step in range(7))]
        path = [(x + radius * px, y + radius * py) for px, py in edge]
        path += [(x - radius * px, y + radius * py) for px, py in reversed(edge)]
        canvas.shape([turned(path, tilt, (x, y))], adjust(body, light=-0.1 if band % 2 else 0.09), opacity=0.6)
    # Night falls on the lower right: between the limb and a flatter arc.
    turns = [math.pi * (-0.25 + step / 40) for step in range(41)]
    limb = [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]
    flat = [
        (x + radius * 0.3 * math.sin(turn), y - radius * math.cos(turn))
        for turn in (math.pi * step / 40 for step in range(40, -1, -1))
    ]
    canvas.shape([[*limb, *turned(flat, math.pi / 4, (x, y))]], palette.near, opacity=0.5)
    if ring:
        for outer, inner_edge, opacity in rings:
            canvas.shape([arc(0, radius * outer, radius * inner_edge)], palette.light, opacity=opacity)
    moon = unit * rng.uniform(0.035, 0.06)
    mx, my = width - x + rng.uniform(-0.08, 0.08) * unit, y - unit * rng.uniform(0.08, 0.2)
    canvas.shape([disc(mx, my, moon)], mix(palette.light, palette.far, 0.2), shade=palette.far, rise=0.9)
    if "rocket" in wanted:
        things.rocket(canvas, width - x, height * 0.5, unit * 0.3, palette, wanted["rocket"])
    line = rolling(rng, unit * 0.9)
    for base, ink in ((0.86, mix(palette.far, palette.near, 0.45)), (0.94, palette.near)):
        edge = _surface(canvas, height * base, unit * 0.035, line)
        canvas.shape([_down(canvas, edge)], ink, shade=mix(ink, palette.horizon, 0.5), rise=0.5, from_top=True)
        line = rolling(rng, unit * 1.2)
    craters = [
        disc(
            rng.uniform(0, width),
            height * rng.uniform(0.95, 1.0),
            unit * rng.uniform(0.015, 0.05),
            stretch=0.25,
        )
        for _ in range(round(7 * width / unit))
    ]
    canvas.shape(craters, mix(palette.near, palette.far, 0.25), opacity=0.8)
    _on_ground(stage, edge)


def _tile(kind: int, x: float, y: float, side: float) -> list[Path]:
    """One tile of a geometric pattern, in one ink."""
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


def _abstract(stage: Stage) -> None:
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
        edge = _surface(canvas, base, unit * rng.uniform(0.07, 0.14), line)
        ink = (palette.sky, palette.far, palette.zenith, palette.near)[index]
        canvas.shape([_down(canvas, edge)], ink, shade=mix(ink, palette.light, 0.35), rise=0.8)
        for offset in (0.018, 0.03):
            lower = [(x, y + unit * offset) for x, y in edge]
            canvas.shape([_down(canvas, lower, unit * 0.004)], ground, opacity=0.5)
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


def _portrait(stage: Stage) -> None:
    canvas, palette, rng = stage.canvas, stage.palette, stage.rng
    width, height = canvas.width, canvas.height
    unit = min(canvas.unit, height)
    back = mix(palette.sky, palette.horizon, 0.5)
    canvas.wash((mix(palette.sky, palette.horizon, 0.2), back, palette.horizon))
    if palette.dark:
        _stars(stage, height, 90)
    x, y = width / 2, height * 0.46
    canvas.shape(
        [disc(x, y, unit * 0.37)],
        palette.accent,
        mix(palette.accent, palette.light, 0.4),
        shade=mix(palette.accent, palette.light, 0.5),
        rise=0.9,
    )
    leaf = mix(palette.far, palette.near, 0.4)
    for side in (-1, 1):
        for branch in range(5):
            foot = (x + side * unit * 0.3, height + unit * 0.05)
            turn = side * (0.1 + 0.24 * branch)
            long = unit * rng.uniform(0.42, 0.66)
            blade = [
                (foot[0], foot[1]),
                (foot[0] - unit * 0.055, foot[1] - long * 0.5),
                (foot[0], foot[1] - long),
                (foot[0] + unit * 0.055, foot[1] - long * 0.5),
            ]
            ink = adjust(leaf, light=rng.uniform(-0.06, 0.1))
            canvas.shape([turned(curve(blade), turn, foot)], ink, shade=adjust(ink, light=-0.1))
    skin = rng.choice(((244, 206, 178), (224, 172, 132), (190, 130, 92), (140, 90, 62), (98, 64, 48)))
    skin = mix(skin, palette.light, 0.08)
    fold = adjust(skin, light=-0.1)
    hair = rng.choice(((38, 28, 32), (74, 46, 36), (150, 82, 44), (206, 164, 98), (52, 44, 66)))
    cloth = mix(palette.near, palette.zenith, rng.uniform(0.1, 0.5))
    head = unit * 0.145
    hy = y - unit * 0.055

    def at(points: Path) -> list[Point]:
        return [(x + px * head, hy + py * head) for px, py in points]

    long_hair = rng.random() < 0.6
    if long_hair:
        mane: list[Point] = [
            (0, -1.42),
            (0.85, -1.05),
            (1.12, -0.1),
            (1.2, 1.0),
            (1.32, 2.0),
            (0.6, 2.25),
            (-0.6, 2.25),
            (-1.32, 2.0),
            (-1.2, 1.0),
            (-1.12, -0.1),
            (-0.85, -1.05),
        ]
        canvas.shape([curve(at(mane))], hair, shade=adjust(hair, light=0.06), rise=0.9)
    bottom = (height - hy) / head + 0.5
    shoulders: list[Point] = [
        (-0.42, 1.5),
        (-1.1, 1.85),
        (-1.95, 2.3),
        (-2.35, 3.2),
        (-2.6, bottom),
        (2.6, bottom),
        (2.35, 3.2),
        (1.95, 2.3),
        (1.1, 1.85),
        (0.42, 1.5),
    ]
    canvas.shape([curve(at(shoulders))], adjust(cloth, light=0.05), cloth, shade=adjust(cloth, light=-0.09))
    canvas.shape([at([(-0.37, 0.7), (0.37, 0.7), (0.46, 1.62), (0.0, 2.1), (-0.46, 1.62)])], skin)
    canvas.shape([at([(-0.37, 0.95), (0.37, 0.75), (0.39, 1.05), (0.0, 1.5)])], fold, opacity=0.85)
    canvas.shape(
        [
            curve(
                at(
                    [
                        (0, -1.2),
                        (0.66, -0.95),
                        (0.86, -0.15),
                        (0.7, 0.66),
                        (0.3, 1.16),
                        (-0.3, 1.16),
                        (-0.7, 0.66),
                        (-0.86, -0.15),
                        (-0.66, -0.95),
                    ]
                )
            )
        ],
        skin,
    )
    canvas.shape(
        [disc(x - side * head * 0.5, hy + head * 0.42, head * 0.2) for side in (-1, 1)],
        mix(skin, palette.accent, 0.5),
        opacity=0.35,
    )
    fringe: list[Point] = [
        (0.1, -1.36),
        (0.8, -1.08),
        (1.0, -0.2),
        (0.86, 0.2),
        (0.72, -0.35),
        (0.2, -0.72),
        (-0.45, -0.45),
        (-0.82, -0.2),
        (-0.88, 0.2),
        (-1.02, -0.2),
        (-0.8, -1.08),
    ]
    canvas.shape([curve(at(fringe))], hair)
    if not long_hair and rng.random() < 0.5:
        canvas.shape([disc(x, hy - head * 1.45, head * 0.42)], hair)
    dark = adjust(hair, light=-0.05) if lightness(skin) > 0.5 else (30, 22, 24)
    line = max(0.8, head * 0.045)
    for side in (-1, 1):
        lid = at(
            [
                (side * 0.36 + 0.17 * math.cos(turn), 0.1 + 0.09 * math.sin(turn))
                for turn in (math.pi * step / 10 for step in range(11))
            ]
        )
        canvas.stroke(lid, line, dark)
        brow = at(
            [
                (side * 0.36 + 0.22 * math.cos(turn), -0.12 - 0.1 * math.sin(turn))
                for turn in (math.pi * (0.15 + 0.07 * step) for step in range(11))
            ]
        )
        canvas.stroke(brow, line * 1.2, hair)
    canvas.stroke(at([(0.02, 0.05), (0.11, 0.42), (-0.02, 0.47)]), line * 0.8, fold)
    lips = mix((190, 70, 72), skin, 0.25)
    canvas.shape(
        [curve(at([(-0.23, 0.72), (-0.08, 0.67), (0.0, 0.7), (0.08, 0.67), (0.23, 0.72), (0.0, 0.83)]))], lips
    )
    canvas.shape([disc(x + side * head * 0.9, hy + head * 0.62, head * 0.1) for side in (-1, 1)], palette.light)


def _still(stage: Stage) -> None:
    canvas, palette, rng, wanted = stage.canvas, stage.palette, stage.rng, stage.reading.things
    unit, width, height = canvas.unit, canvas.width, canvas.height
    canvas.wash((mix(palette.sky, palette.horizon, 0.2), palette.horizon))
    table = height * 0.74
    x = width * 0.5
    arch = unit * 0.33
    crown = table - unit * 0.4
    window = [
        (
            x + arch * math.cos(math.pi + math.pi * step / 60),
            crown + arch * math.sin(math.pi + math.pi * step / 60),
        )
        for step in range(61)
    ]
    canvas.shape(
        [[*window, (x + arch, table), (x - arch, table)]],
        mix(palette.zenith, palette.sky, 0.3),
        palette.sky,
        mix(palette.horizon, palette.light, 0.5),
    )
    sun = x + arch * rng.choice((-0.4, 0.4))
    canvas.shape([disc(sun, crown + unit * 0.02, unit * 0.075)], palette.light, opacity=0.9)
    canvas.shape(
        [box(-2, table, width + 2, height + 2)],
        mix(palette.far, palette.near, 0.25),
        mix(palette.far, palette.near, 0.6),
        shade=mix(palette.near, palette.far, 0.3),
        rise=0.8,
    )
    foot = table + unit * 0.09
    shadow = [
        (x, foot + unit * 0.02),
        (x + unit * 0.5, foot + unit * 0.05),
        (x + unit * 0.5, foot + unit * 0.09),
        (x - unit * 0.1, foot + unit * 0.03),
    ]
    canvas.shape([curve(shadow)], palette.near, opacity=0.3)
    if "cup" in wanted:
        things.cup(canvas, x, foot, unit * 0.5, palette, wanted["cup"])
    else:
        things.vase(canvas, x, foot, unit * 0.66, palette, None, rng)
    for px, size in ((-0.34, 0.06), (-0.24, 0.05), (0.36, 0.055)):
        ink = mix(palette.accent, (236, 170, 70), rng.uniform(0.1, 0.6))
        fruit = disc(x + px * unit, foot + unit * 0.01 - size * unit * 0.6, size * unit)
        canvas.shape([fruit], ink, shade=adjust(ink, light=-0.16), rise=0.7)
        canvas.stroke(
            [
                (x + px * unit, foot - size * unit * 1.45),
                (x + (px + 0.012) * unit, foot - size * unit * 1.95),
            ],
            unit * 0.006,
            palette.near,
        )


def _on_ground(stage: Stage, edge: Path, *, clear: bool = False) -> None:
    """Put what the prompt names, and the scene hasn't shown yet, on the nearest ground and into the air."""
    canvas, palette, rng, wanted = stage.canvas, stage.palette, stage.rng, stage.reading.things
    unit, scene = canvas.unit, stage.reading.scene
    x = canvas.width * (0.5 if clear else rng.choice((0.4, 0.58)))

    def ground(at: float) -> float:
        return min(_at(edge, at) + unit * 0.05, canvas.height - unit * 0.035)

    animals = [name for name in wanted if name in ANIMALS]
    if "tree" in wanted and scene != "forest":
        place = canvas.width * 0.78
        leaf = wanted["tree"] or mix(palette.accent, palette.far, 0.15)
        things.tree(canvas, place, ground(place), unit * 0.5, leaf, palette.near, rng)
    if "cabin" in wanted and scene != "hills":
        place = canvas.width * 0.68
        things.cabin(canvas, place, ground(place), unit * 0.2, palette, wanted["cabin"])
    if "tent" in wanted:
        place = canvas.width * 0.34
        things.tent(canvas, place, ground(place), unit * 0.15, palette, wanted["tent"])
    if "lighthouse" in wanted and scene != "sea":
        place = canvas.width * 0.72
        things.lighthouse(canvas, place, ground(place), unit * 0.5, palette, wanted["lighthouse"])
    for index, name in enumerate(animals[:3]):
        place = x + (index - (len(animals[:3]) - 1) / 2) * unit * 0.36
        things.animal(canvas, place, ground(place), unit * 0.4, name, palette, wanted[name])
    if "walker" in wanted and not animals:
        things.walker(canvas, x, ground(x), unit * 0.27, palette, wanted["walker"])


def _in_air(stage: Stage) -> None:
    canvas, palette, rng, wanted = stage.canvas, stage.palette, stage.rng, stage.reading.things
    unit, scene = canvas.unit, stage.reading.scene
    if "balloon" in wanted:
        for px, py, size in ((0.36, 0.52, 0.36), (0.72, 0.34, 0.18), (0.84, 0.5, 0.1)):
            colour = wanted["balloon"] if size > 0.3 else None
            things.balloon(canvas, canvas.width * px, canvas.height * py, unit * size, palette, colour)
    if "rocket" in wanted and scene != "space":
        things.rocket(canvas, canvas.width * 0.6, canvas.height * 0.32, unit * 0.3, palette, wanted["rocket"])
    if "bird" in wanted:
        dark = wanted["bird"] or at_lightness(palette.near, 0.25 if not palette.dark else 0.75)
        things.birds(canvas, canvas.width * 0.5, canvas.height * 0.26, unit * 0.5, dark, rng, 9)


_SCENES: Final[Mapping[str, Callable[[Stage], None]]] = {
    "sea": _sea,
    "lake": _lake,
    "mountain": _mountain,
    "forest": _forest,
    "hills": _hills,
    "city": _city,
    "space": _space,
    "desert": _desert,
    "abstract": _abstract,
    "portrait": _portrait,
    "still": _still,
}


def furnish(canvas: Canvas, reading: Reading, palette: Palette, rng: Random, ground: float) -> None:
    """Put what a reading names into a picture that is already there, standing on row `ground`."""
    stage = Stage(canvas, palette, replace(reading, scene=""), rng)
    line = ground - canvas.unit * 0.05
    _on_ground(stage, [(0.0, line), (float(canvas.width), line)])
    _in_air(stage)


def paint(canvas: Canvas, reading: Reading, palette: Palette, rng: Random) -> None:
    """Paint a reading in a palette over the whole canvas."""
    stage = Stage(canvas, palette, reading, rng)
    _SCENES[reading.scene](stage)
    _in_air(stage)
    if "mist" in reading.weather and reading.scene not in {"abstract", "portrait", "still", "space"}:
        _mist(stage, canvas.height * 0.68, canvas.unit * 0.34, 0.6)
    _weather(stage)
    canvas.finish()
