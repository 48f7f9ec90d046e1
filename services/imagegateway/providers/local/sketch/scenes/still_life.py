"""Still life scene."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imagegateway.providers.local.sketch import things
from imagegateway.providers.local.sketch.canvas import box, curve, disc
from imagegateway.providers.local.sketch.palette import adjust, mix

if TYPE_CHECKING:
    from imagegateway.providers.local.sketch.scenes.stage import Stage


def still_life(stage: Stage) -> None:
    """Paint a cup or a vase of flowers on a table by an arched window, with fruit."""
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
        things.cup(canvas, (x, foot), unit * 0.5, palette, wanted["cup"])
    else:
        things.vase(canvas, (x, foot), unit * 0.66, palette, rng)
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
