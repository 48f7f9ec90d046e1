"""Landscape scenes: mountains, forest, hills and desert."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imagegateway.providers.local.sketch import things
from imagegateway.providers.local.sketch.canvas import Path, Profile, curve, disc, rolling
from imagegateway.providers.local.sketch.palette import adjust, at_lightness, mix
from imagegateway.providers.local.sketch.reading import ANIMALS
from imagegateway.providers.local.sketch.scenes.parts.furnishing import on_ground
from imagegateway.providers.local.sketch.scenes.parts.ground import (
    grove,
    height_at,
    layer,
    mountain_range,
    upper_edge,
)
from imagegateway.providers.local.sketch.scenes.parts.sky import mist, sky

if TYPE_CHECKING:
    from imagegateway.providers.local.sketch.scenes.stage import Stage


def mountain(stage: Stage) -> None:
    """Paint snowy ranges behind wooded foothills."""
    canvas, palette, rng = stage.canvas, stage.palette, stage.rng
    unit = canvas.unit
    horizon = canvas.height * rng.uniform(0.6, 0.68)
    sky(stage, horizon)
    layers = palette.layers(6)
    mountain_range(
        stage,
        horizon - unit * 0.06,
        unit * 0.2,
        mix(layers[0], palette.horizon, 0.35),
        snow=False,
        wavelength=unit * 0.45,
    )
    mist(stage, horizon, unit * 0.16, 0.5)
    mountain_range(stage, horizon + unit * 0.03, unit * 0.33, layers[1], snow=True, wavelength=unit * 0.62)
    mist(stage, horizon + unit * 0.16, unit * 0.2, 0.75)
    rest = canvas.height - horizon
    for index, ink in enumerate(layers[3:]):
        base = horizon + rest * (0.42 + 0.23 * index)
        edge = upper_edge(canvas, base, unit * 0.05, rolling(rng, unit * (0.9 + 0.2 * index)))
        canvas.shape([layer(canvas, edge)], ink, shade=mix(ink, palette.horizon, 0.22), rise=0.45)
        size = unit * (0.06 + 0.055 * index)
        clearing = rolling(rng, unit * 1.1)

        def gap(at: float, clearing: Profile = clearing) -> float:
            return clearing(at) + 0.25

        grove(stage, edge, size, ink, 0.3, gap=None if index == 0 else gap)
    on_ground(stage, edge)


def forest(stage: Stage) -> None:
    """Paint conifers, row behind row into the mist."""
    canvas, palette, rng = stage.canvas, stage.palette, stage.rng
    unit = canvas.unit
    horizon = max(canvas.height * 0.66, canvas.height - unit * 0.8)
    sky(stage, horizon, radius=0.1)
    layers = palette.layers(6)
    ground = max(canvas.height * 0.5, canvas.height - unit)
    for index, ink in enumerate(layers[:5]):
        base = ground + (canvas.height - ground) * (0.1 + 0.2 * index)
        edge = upper_edge(canvas, base, unit * 0.035, rolling(rng, unit * 0.9))
        size = unit * (0.15 + 0.085 * index)
        grove(stage, edge, size, ink, 0.23 + 0.03 * index)
        canvas.shape([layer(canvas, edge)], ink, mix(ink, palette.horizon, 0.25 if index < 4 else 0.0))
        if index < 3:
            mist(stage, base + unit * 0.06, unit * 0.17, 0.5)
    on_ground(stage, edge, clear=True)
    # Tall near trees frame the view.
    near: list[Path] = []
    for side in (0, 1):
        for inward, size in ((0.02, 0.98), (0.15, 0.66)):
            x = canvas.width * side + (1 - 2 * side) * unit * (inward + rng.uniform(-0.03, 0.03))
            near.append(things.pine(x, canvas.height * 1.03, unit * size * rng.uniform(0.9, 1.08), rng))
    canvas.shape(near, layers[5], shade=mix(layers[5], palette.far, 0.3), rise=0.7, from_top=True)


def hills(stage: Stage) -> None:
    """Paint rolling meadows with trees and flowers."""
    canvas, palette, rng, wanted = stage.canvas, stage.palette, stage.rng, stage.reading.things
    unit = canvas.unit
    horizon = canvas.height * rng.uniform(0.55, 0.62)
    x, _ = sky(stage, horizon, high=rng.random() < 0.4)
    layers = palette.layers(6)
    far = upper_edge(canvas, horizon - unit * 0.03, unit * 0.08, rolling(rng, unit * 0.7))
    canvas.shape([layer(canvas, far)], mix(layers[0], palette.horizon, 0.35), layers[0])
    if not wanted:
        flight = canvas.width * (0.3 if x > canvas.width / 2 else 0.7)
        things.birds(
            canvas,
            (flight, horizon * 0.45),
            unit * 0.22,
            at_lightness(palette.near, 0.3 if not palette.dark else 0.7),
            rng,
            count=6,
        )
    rest = canvas.height - horizon
    for index, ink in enumerate(layers[1:]):
        base = horizon + rest * (0.1 + 0.19 * index)
        edge = upper_edge(canvas, base, unit * (0.05 + 0.008 * index), rolling(rng, unit * (0.75 + 0.18 * index)))
        canvas.shape(
            [layer(canvas, edge)],
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
                things.tree(canvas, (place, height_at(edge, place) + size * 0.04), size, leaf, layers[5], rng=rng)
        if index == 2 and "cabin" in wanted:
            place = canvas.width * (0.32 if x > canvas.width / 2 else 0.68)
            things.cabin(canvas, (place, height_at(edge, place) + unit * 0.03), unit * 0.13, palette, wanted["cabin"])
    flowers: list[list[Path]] = [[], [], []]
    for _ in range(round(120 * canvas.width / unit)):
        share = rng.random() ** 0.7
        px, py = rng.uniform(0, canvas.width), height_at(edge, rng.uniform(0, canvas.width)) + rest * 0.3 * share
        flowers[rng.randrange(3)].append(
            disc(px, max(py, height_at(edge, px) + unit * 0.012), unit * (0.003 + 0.006 * share), steps=10)
        )
    for blooms, ink in zip(
        flowers, (palette.accent, palette.light, mix(palette.accent, palette.light, 0.5)), strict=True
    ):
        canvas.shape(blooms, ink, opacity=0.9)
    on_ground(stage, edge)


def desert(stage: Stage) -> None:
    """Paint dunes in front of mesas."""
    canvas, palette, rng = stage.canvas, stage.palette, stage.rng
    unit = canvas.unit
    horizon = canvas.height * rng.uniform(0.52, 0.6)
    sky(stage, horizon, radius=0.13)
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
        edge = upper_edge(canvas, base, unit * (0.03 + 0.016 * index), line)
        bright = mix(ink, palette.light, 0.16)
        canvas.shape([layer(canvas, edge)], bright, ink, shade=mix(ink, palette.near, 0.3), rise=0.6)
        # The lee side of a dune: from each crest an edge winds down to the foot, with shadow to its right.
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
    on_ground(stage, edge)
