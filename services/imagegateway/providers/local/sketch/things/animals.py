"""Sitting animals that face the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.providers.local.sketch.canvas import Canvas, Point, curve, disc, placed
from imagegateway.providers.local.sketch.palette import Colour, Palette, adjust, lightness, mix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COATS: Final[Mapping[str, Colour]] = {
    "cat": (70, 66, 82),
    "fox": (222, 108, 44),
    "dog": (196, 142, 84),
    "bear": (122, 82, 58),
    "rabbit": (214, 196, 178),
}
_TAILS: Final[Mapping[str, list[Point]]] = {
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
_EARS: Final[Mapping[str, tuple[list[Point], list[Point]]]] = {
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


def _belly(kind: str, coat: Colour) -> Colour:
    return mix(coat, (255, 248, 236), 0.82 if kind == "fox" else 0.5)


def _face(canvas: Canvas, foot: Point, size: float, kind: str, coat: Colour) -> None:
    """Draw an animal's face, with the ears for a dog."""
    x, y = foot
    belly = _belly(kind, coat)
    eye = (28, 24, 30) if lightness(coat) > 0.4 else (244, 226, 172)

    def at(points: Sequence[Point]) -> list[Point]:
        return placed(x, y, size, points)

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
        ear = _EARS[kind][0]
        canvas.shape([curve(at(ear)), curve(at([(-px, py) for px, py in ear]))], adjust(coat, light=-0.17))
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


def animal(canvas: Canvas, foot: Point, size: float, kind: str, palette: Palette, *, colour: Colour | None) -> None:
    """Draw a sitting animal that faces us: `kind` is cat, fox, dog, bear or rabbit. Its paws are at `foot`."""
    x, y = foot
    coat = mix(_COATS[kind], palette.near, 0.12) if colour is None else mix(colour, _COATS[kind], 0.18)
    if palette.dark:
        coat = adjust(coat, light=-0.06)
    deep = adjust(coat, light=-0.17)
    belly = _belly(kind, coat)

    def at(points: Sequence[Point]) -> list[Point]:
        return placed(x, y, size, points)

    if kind in _TAILS:
        canvas.shape([curve(at(_TAILS[kind]))], coat, shade=deep)
    if kind == "fox":
        canvas.shape([curve(at([(0.58, 0.24), (0.5, 0.47), (0.41, 0.37), (0.49, 0.34)]))], belly)
    outer, inner = _EARS[kind]
    if kind != "dog":
        canvas.shape([at(outer), at([(-px, py) for px, py in outer])], coat)
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
    _face(canvas, (x, y), size, kind, coat)
