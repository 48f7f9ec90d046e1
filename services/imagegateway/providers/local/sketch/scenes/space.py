"""Space scene."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imagegateway.providers.local.sketch import things
from imagegateway.providers.local.sketch.canvas import Path, disc, rolling, turned
from imagegateway.providers.local.sketch.palette import adjust, mix
from imagegateway.providers.local.sketch.scenes.parts.furnishing import on_ground
from imagegateway.providers.local.sketch.scenes.parts.ground import layer, upper_edge
from imagegateway.providers.local.sketch.scenes.parts.sky import stars

if TYPE_CHECKING:
    from imagegateway.providers.local.sketch.scenes.stage import Stage


def space(stage: Stage) -> None:
    """Paint a planet and its moon among stars, seen from cratered ground."""
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
    stars(stage, height, round(min(700, 240 * width * height / unit**2)))
    x, y = width * rng.choice((0.34, 0.66)), height * rng.uniform(0.36, 0.44)
    radius = unit * rng.uniform(0.2, 0.26)
    body = mix(palette.accent, palette.light, 0.15)
    canvas.glow(x, y, radius * 2.1, body, 0.5)
    tilt = rng.uniform(-0.45, 0.45)
    ring = rng.random() < 0.75

    def arc(start: float, outer: float, inner: float) -> Path:
        angles = [start + math.pi * step / 60 for step in range(61)]
        path = [(x + outer * math.cos(angle), y + outer * 0.26 * math.sin(angle)) for angle in angles]
        path += [(x + inner * math.cos(angle), y + inner * 0.26 * math.sin(angle)) for angle in reversed(angles)]
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
    # The lower right is in shadow: between the limb and a flatter arc.
    angles = [math.pi * (-0.25 + step / 40) for step in range(41)]
    limb = [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]
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
        things.rocket(canvas, (width - x, height * 0.5), unit * 0.3, palette, wanted["rocket"])
    line = rolling(rng, unit * 0.9)
    for base, ink in ((0.86, mix(palette.far, palette.near, 0.45)), (0.94, palette.near)):
        edge = upper_edge(canvas, height * base, unit * 0.035, line)
        canvas.shape([layer(canvas, edge)], ink, shade=mix(ink, palette.horizon, 0.5), rise=0.5, from_top=True)
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
    on_ground(stage, edge)
