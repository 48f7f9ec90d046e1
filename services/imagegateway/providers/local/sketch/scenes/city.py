"""City scene."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.providers.local.sketch.canvas import Path, box, disc
from imagegateway.providers.local.sketch.palette import lightness, mix
from imagegateway.providers.local.sketch.scenes.parts.furnishing import on_ground
from imagegateway.providers.local.sketch.scenes.parts.sky import mist, sky
from imagegateway.providers.local.sketch.scenes.parts.water import reflection

if TYPE_CHECKING:
    from imagegateway.providers.local.sketch.scenes.stage import Stage


def city(stage: Stage) -> None:
    """Paint a skyline, row behind row, with lit windows above a wet street."""
    canvas, palette, rng = stage.canvas, stage.palette, stage.rng
    unit = canvas.unit
    horizon = canvas.height * rng.uniform(0.7, 0.76)
    x, _ = sky(stage, horizon, radius=0.13)
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
            mist(stage, horizon + unit * 0.02, unit * 0.22, 0.35)
    street = canvas.height * 0.93
    canvas.shape(
        [box(-2, street, canvas.width + 2, canvas.height + 2)],
        mix(palette.near, palette.sky, 0.16),
        palette.near,
    )
    reflection(stage, x, street, unit * 0.16)
    on_ground(stage, [(0.0, street), (float(canvas.width), street)])
