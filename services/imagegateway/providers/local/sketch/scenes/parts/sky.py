"""Sky: its gradient, stars, sun or moon, clouds, mist, rain and snow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imagegateway.providers.local.sketch.canvas import Path, box, disc, turned
from imagegateway.providers.local.sketch.palette import mix

if TYPE_CHECKING:
    from imagegateway.providers.local.sketch.scenes.stage import Stage


def stars(stage: Stage, bottom: float, count: int) -> None:
    """Paint stars over the image down to `bottom`, a few of them with rays."""
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
    """Paint the sun, or the moon at night."""
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
    """Paint flat clouds of a few long rounded bars."""
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


def sky(stage: Stage, horizon: float, *, radius: float = 0.085, high: bool = False) -> tuple[float, float]:
    """Paint sky, stars, luminary and clouds down to the horizon. Return the luminary's position."""
    canvas, palette, rng, reading = stage.canvas, stage.palette, stage.rng, stage.reading
    canvas.wash((palette.zenith, palette.sky, palette.horizon), 0, math.ceil(horizon))
    canvas.wash((palette.horizon, palette.far), math.ceil(horizon))
    if palette.dark or "stars" in reading.weather:
        share = canvas.width * horizon / canvas.unit**2
        stars(stage, horizon * 0.95, round(min(420, 150 * share)))
    x = canvas.width * rng.choice((rng.uniform(0.2, 0.4), rng.uniform(0.6, 0.8)))
    size = canvas.unit * radius * rng.uniform(0.85, 1.25)
    y = min(horizon * (rng.uniform(0.25, 0.5) if high or palette.dark else rng.uniform(0.5, 0.74)), horizon - size)
    y = max(y, horizon - canvas.unit * 0.62)
    _luminary(stage, x, y, size)
    if "clear" not in reading.weather:
        length = max(1.0, canvas.width / canvas.unit)
        _clouds(stage, horizon * 0.1, horizon * 0.62, round((2 if palette.dark else 3) * length))
    return x, y


def mist(stage: Stage, y: float, height: float, strength: float) -> None:
    """Paint a soft bank of air across the image, thickest at `y`."""
    stage.canvas.haze(y, height, mix(stage.palette.horizon, stage.palette.light, 0.3), strength)


def precipitation(stage: Stage) -> None:
    """Paint rain and snow, in front of everything."""
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
