"""Portrait scene."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imagegateway.providers.local.sketch.canvas import Path, Point, curve, disc, turned
from imagegateway.providers.local.sketch.palette import adjust, lightness, mix
from imagegateway.providers.local.sketch.scenes.parts.sky import stars

if TYPE_CHECKING:
    from imagegateway.providers.local.sketch.scenes.stage import Stage


def portrait(stage: Stage) -> None:
    """Paint one head and shoulders in front of a disc and leaves."""
    canvas, palette, rng = stage.canvas, stage.palette, stage.rng
    width, height = canvas.width, canvas.height
    unit = canvas.unit
    back = mix(palette.sky, palette.horizon, 0.5)
    canvas.wash((mix(palette.sky, palette.horizon, 0.2), back, palette.horizon))
    if palette.dark:
        stars(stage, height, 90)
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
