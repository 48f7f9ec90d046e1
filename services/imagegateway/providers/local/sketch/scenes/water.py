"""Waterside scenes: sea and lake."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imagegateway.providers.local.sketch import things
from imagegateway.providers.local.sketch.canvas import Profile, box, curve, jagged, rolling
from imagegateway.providers.local.sketch.palette import adjust, mix
from imagegateway.providers.local.sketch.reading import ANIMALS
from imagegateway.providers.local.sketch.scenes.parts.furnishing import on_ground
from imagegateway.providers.local.sketch.scenes.parts.ground import grove, layer, mountain_range, upper_edge
from imagegateway.providers.local.sketch.scenes.parts.sky import mist, sky
from imagegateway.providers.local.sketch.scenes.parts.water import reflection, ripples

if TYPE_CHECKING:
    from imagegateway.providers.local.sketch.scenes.stage import Stage


def sea(stage: Stage) -> None:
    """Paint approaching waves under a wide sky, sometimes with a far coast."""
    canvas, palette, rng, wanted = stage.canvas, stage.palette, stage.rng, stage.reading.things
    unit = canvas.unit
    horizon = round(canvas.height * rng.uniform(0.5, 0.58))
    x, _ = sky(stage, horizon, radius=0.1)
    if rng.random() < 0.6 or "lighthouse" in wanted:
        edge = upper_edge(canvas, horizon, unit * 0.06, jagged(rng, unit * 0.9, 4))
        edge = [(px, min(py, horizon)) for px, py in edge]
        canvas.shape([[*edge, (canvas.width + 9, horizon), (-9, horizon)]], mix(palette.far, palette.sky, 0.35))
    water = palette.layers(7)
    canvas.shape(
        [box(-2, horizon, canvas.width + 2, canvas.height + 2)],
        mix(palette.horizon, water[0], 0.45),
        water[1],
        water[3],
    )
    reflection(stage, x, horizon, unit * 0.11)
    ripples(stage, horizon + unit * 0.02, palette.light, round(26 * canvas.width / unit))
    side = 0.3 if x > canvas.width / 2 else 0.7
    if "boat" in wanted or (not wanted and rng.random() < 0.75):
        things.sailboat(
            canvas,
            (canvas.width * side, horizon + unit * 0.075),
            unit * (0.26 if "boat" in wanted else 0.15),
            palette,
            wanted.get("boat"),
        )
    if "whale" in wanted:
        things.whale(canvas, (canvas.width * side, horizon + unit * 0.12), unit * 0.26, palette, wanted["whale"])
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
            wave: float = 1 - abs(math.sin(math.pi * (at + phase) / length)) ** 0.75
            return wave + 0.45 * swell(at)

        edge = upper_edge(canvas, base, crest, line)
        ink = water[min(6, 3 + row)]
        canvas.shape(
            [layer(canvas, edge)],
            ink,
            adjust(ink, light=-0.04),
            shade=adjust(ink, light=0.09),
            rise=0.55,
            from_top=True,
        )
        canvas.shape([layer(canvas, edge, unit * 0.0055)], mix(palette.light, ink, 0.2), opacity=0.85)
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
        things.lighthouse(canvas, (place, foot + unit * 0.02), unit * 0.56, palette, wanted["lighthouse"])
        canvas.shape([rock], palette.near, shade=adjust(palette.near, light=0.1), from_top=True, rise=0.5)
    if ANIMALS & wanted.keys() or wanted.keys() & {"walker", "cabin", "tent", "tree"}:
        beach = upper_edge(canvas, canvas.height * 0.9, unit * 0.03, rolling(rng, unit))
        sand = mix(palette.horizon, palette.near, 0.2 if not palette.dark else 0.55)
        canvas.shape([layer(canvas, beach)], sand, shade=mix(sand, palette.near, 0.3), rise=0.9)
        on_ground(stage, beach)


def lake(stage: Stage) -> None:
    """Paint a lake that mirrors woods and mountains."""
    canvas, palette, rng, wanted = stage.canvas, stage.palette, stage.rng, stage.reading.things
    unit = canvas.unit
    shore = canvas.height * rng.uniform(0.55, 0.6)
    x, _ = sky(stage, shore, radius=0.075)
    layers = palette.layers(6)
    range_ink = mix(layers[0], layers[1], 0.5)
    peaks = mountain_range(stage, shore - unit * 0.1, unit * 0.25, range_ink, snow=True, wavelength=unit * 0.62)
    mist(stage, shore - unit * 0.03, unit * 0.14, 0.7)
    wood = upper_edge(canvas, shore - unit * 0.025, unit * 0.035, rolling(rng, unit * 0.8))
    wood_ink = mix(layers[2], layers[3], 0.5)
    canvas.shape([layer(canvas, wood)], wood_ink)
    grove(stage, wood, unit * 0.06, wood_ink, 0.3)
    surface = box(-2, shore, canvas.width + 2, canvas.height + 2)
    canvas.shape([surface], mix(palette.horizon, palette.sky, 0.3), palette.sky, mix(palette.zenith, layers[3], 0.35))
    for edge, lift, ink, opacity in ((peaks, 0.0, range_ink, 0.5), (wood, unit * 0.045, wood_ink, 0.6)):
        mirrored = [(px, max(shore, 2 * shore - py + lift)) for px, py in edge]
        canvas.shape([[(-9, shore), *mirrored, (canvas.width + 9, shore)]], ink, opacity=opacity)
    reflection(stage, x, shore + unit * 0.03, unit * 0.08)
    ripples(stage, shore + unit * 0.015, palette.light, round(46 * canvas.width / unit))
    canvas.shape([box(-2, shore - unit * 0.0015, canvas.width + 2, shore + unit * 0.002)], palette.light, opacity=0.6)
    if "boat" in wanted:
        things.sailboat(canvas, (canvas.width * 0.42, shore + unit * 0.12), unit * 0.26, palette, wanted["boat"])
    bank = upper_edge(canvas, canvas.height * 0.965, unit * 0.022, rolling(rng, unit))
    canvas.shape([layer(canvas, bank)], palette.near)
    middle = canvas.width * rng.uniform(0.42, 0.58)
    grove(stage, bank, unit * 0.3, palette.near, 0.3, gap=lambda at: abs(at - middle) - canvas.width * 0.31)
    grove(stage, bank, unit * 0.1, palette.near, 0.5, gap=lambda at: abs(at - middle) - canvas.width * 0.2)
    on_ground(stage, bank)
