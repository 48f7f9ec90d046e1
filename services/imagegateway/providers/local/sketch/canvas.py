"""The canvas of the sketch model: antialiased shapes filled with grainy gradients.

Coordinates are in pixels of the finished image, from its upper left corner; they may be fractions or lie outside.
For antialiasing, each shape is drawn enlarged into a mask, which is then reduced.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from imagegateway.providers.local.sketch.palette import Colour, ramp
from PIL import Image, ImageChops, ImageDraw

if TYPE_CHECKING:
    from random import Random

Point = tuple[float, float]
Path = Sequence[Point]
Box = tuple[int, int, int, int]

_TILE: Final = 256


def gradient(size: tuple[int, int], stops: Sequence[Colour]) -> Image.Image:
    """Return an RGB image with a gradient through the stops from top to bottom."""
    width, height = size
    steps = min(height, 192)
    column = Image.new("RGB", (1, steps))
    column.putdata(ramp(stops, steps))
    return column.resize((1, height), Image.Resampling.BILINEAR).resize((width, height), Image.Resampling.NEAREST)


def grain(size: tuple[int, int], rng: Random, dot: int) -> Image.Image:
    """Return an "L" image of uniform noise, 0 to 255, with grains of `dot` pixels."""
    tile = Image.frombytes("L", (_TILE, _TILE), rng.randbytes(_TILE * _TILE))
    if dot > 1:
        tile = tile.resize((_TILE * dot, _TILE * dot), Image.Resampling.BICUBIC)
    field = Image.new("L", size)
    for top in range(0, size[1], tile.height):
        for left in range(0, size[0], tile.width):
            field.paste(tile, (left, top))
    return field


def disc(x: float, y: float, radius: float, *, stretch: float = 1.0, steps: int = 0) -> list[Point]:
    """Return a circle as a path; with `stretch` an ellipse, by this factor higher than wide."""
    count = steps or max(16, min(160, int(radius * 1.2)))
    return [
        (
            x + radius * math.cos(2 * math.pi * step / count),
            y + radius * stretch * math.sin(2 * math.pi * step / count),
        )
        for step in range(count)
    ]


def box(left: float, top: float, right: float, bottom: float) -> list[Point]:
    """Return a rectangle as a path."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def turned(path: Path, angle: float, around: Point) -> list[Point]:
    """Return a path turned clockwise by an angle in radians."""
    sine, cosine = math.sin(angle), math.cos(angle)
    x0, y0 = around
    return [(x0 + (x - x0) * cosine - (y - y0) * sine, y0 + (x - x0) * sine + (y - y0) * cosine) for x, y in path]


def placed(x: float, y: float, size: float, points: Path) -> list[Point]:
    """Convert points in units of `size`, x to the right and y up, to pixels around a foot at `x`, `y`."""
    return [(x + px * size, y - py * size) for px, py in points]


def curve(points: Path, steps: int = 8) -> list[Point]:
    """Return a smooth closed path through the points (Catmull-Rom)."""
    count = len(points)
    path = []
    for index in range(count):
        a, b, c, d = (points[(index + offset) % count] for offset in (-1, 0, 1, 2))
        for step in range(steps):
            t = step / steps
            t2, t3 = t * t, t * t * t
            path.append(
                (
                    0.5 * (2 * b[0] + (c[0] - a[0]) * t + (2 * a[0] - 5 * b[0] + 4 * c[0] - d[0]) * t2)
                    + 0.5 * (3 * b[0] - a[0] - 3 * c[0] + d[0]) * t3,
                    0.5 * (2 * b[1] + (c[1] - a[1]) * t + (2 * a[1] - 5 * b[1] + 4 * c[1] - d[1]) * t2)
                    + 0.5 * (3 * b[1] - a[1] - 3 * c[1] + d[1]) * t3,
                )
            )
    return path


class Canvas:
    """Image during drawing.

    `unit` is the measure for things in it: the shorter side, at most three quarters of the longer.
    `coverage` marks painted pixels other than the background ("L", 255: all of the pixel).
    """

    def __init__(self, width: int, height: int, *, detail: int, rng: Random) -> None:
        self.width = width
        self.height = height
        self.unit = min(width, height, 0.75 * max(width, height))
        self.image = Image.new("RGB", (width, height))
        self.coverage = Image.new("L", (width, height))
        self.rng = rng
        self._detail = detail
        self._noise = grain((width, height), rng, max(1, round(max(width, height) / 1100)))

    def wash(self, stops: Sequence[Colour], top: int = 0, bottom: int | None = None) -> None:
        """Fill rows `top` to `bottom` (default: all) with a gradient, as background, not coverage."""
        end = self.height if bottom is None else bottom
        if end > top:
            self.image.paste(gradient((self.width, end - top), stops), (0, top))

    def _mask(self, paths: Sequence[Path]) -> tuple[Image.Image, tuple[int, int, int, int]] | None:
        xs = [x for path in paths for x, _ in path]
        ys = [y for path in paths for _, y in path]
        if not xs:
            return None
        left, top = max(0, math.floor(min(xs))), max(0, math.floor(min(ys)))
        right, bottom = min(self.width, math.ceil(max(xs)) + 1), min(self.height, math.ceil(max(ys)) + 1)
        if right <= left or bottom <= top:
            return None
        zoom = self._detail
        mask = Image.new("L", ((right - left) * zoom, (bottom - top) * zoom))
        pen = ImageDraw.Draw(mask)
        for path in paths:
            pen.polygon([((x - left) * zoom, (y - top) * zoom) for x, y in path], fill=255)
        return (mask.reduce(zoom) if zoom > 1 else mask), (left, top, right, bottom)

    def shape(
        self,
        paths: Sequence[Path],
        *stops: Colour,
        opacity: float = 1.0,
        shade: Colour | None = None,
        rise: float = 0.8,
        from_top: bool = False,
    ) -> None:
        """Fill closed paths with one colour, or with a gradient over their height.

        `shade` is sprinkled over the fill in grains, dense at the lower edge (with `from_top`, the upper edge) and
        fading to none over the share `rise` of the height.
        """
        made = self._mask(paths)
        if made is None:
            return
        mask, area = made
        if opacity < 1:
            mask = mask.point([round(level * opacity) for level in range(256)])
        size = mask.size
        if len(stops) == 1:
            self.image.paste(stops[0], area, mask)
        else:
            self.image.paste(gradient(size, stops), area, mask)
        self.coverage.paste(255, area, mask)
        if shade is not None:
            self._sprinkle(mask, area, shade, rise, from_top=from_top)

    def _sprinkle(
        self,
        mask: Image.Image,
        area: tuple[int, int, int, int],
        colour: Colour,
        rise: float,
        *,
        from_top: bool,
    ) -> None:
        width, height = mask.size
        depth = max(1, min(height, round(height * rise)))
        slope = Image.linear_gradient("L")
        if from_top:
            slope = slope.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        slope = slope.resize((1, depth)).resize((width, depth), Image.Resampling.NEAREST)
        left, top = area[0], area[1] if from_top else area[3] - depth
        band = (left, top, left + width, top + depth)
        # A grain lies where the slope is above the noise; the steep ramp keeps grains soft-edged.
        grains = ImageChops.subtract(slope, self._noise.crop(band), scale=0.32, offset=6)
        inner = (0, 0, width, depth) if from_top else (0, height - depth, width, height)
        self.image.paste(colour, band, ImageChops.multiply(grains, mask.crop(inner)))

    def stroke(self, points: Path, thickness: float, colour: Colour, *, opacity: float = 1.0) -> None:
        """Draw a line of even thickness through the points."""
        paths = []
        for (x0, y0), (x1, y1) in pairwise(points):
            length = math.hypot(x1 - x0, y1 - y0) or 1.0
            dx, dy = -(y1 - y0) / length * thickness / 2, (x1 - x0) / length * thickness / 2
            paths.append([(x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)])
        self.shape(paths, colour, opacity=opacity)

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """Paint light around a point that fades out at `radius`, as background, not coverage."""
        left, top = math.floor(x - radius), math.floor(y - radius)
        size = max(2, math.ceil(radius * 2))
        area = (max(0, left), max(0, top), min(self.width, left + size), min(self.height, top + size))
        if area[2] <= area[0] or area[3] <= area[1]:
            return
        halo = Image.radial_gradient("L").point(
            [round(255 * strength * max(0.0, 1 - level / 181) ** 2.2) for level in range(256)]
        )
        scale = halo.width / size
        x0, x1 = ((edge - left) * scale for edge in (area[0], area[2]))
        y0, y1 = ((edge - top) * scale for edge in (area[1], area[3]))
        halo = halo.resize(
            (area[2] - area[0], area[3] - area[1]),
            Image.Resampling.BILINEAR,
            box=(x0, y0, x1, y1),
        )
        self.image.paste(colour, area, halo)

    def haze(self, y: float, height: float, colour: Colour, strength: float) -> None:
        """Paint a soft band across the image, densest (`strength` 0 to 1) at row `y`, as background, not coverage."""
        top, bottom = max(0, round(y - height / 2)), min(self.height, round(y + height / 2))
        if bottom <= top:
            return
        column = Image.new("L", (1, bottom - top))
        column.putdata(
            [round(255 * strength * math.cos(math.pi * (row + 0.5 - y) / height) ** 2) for row in range(top, bottom)]
        )
        band = column.resize((self.width, bottom - top), Image.Resampling.NEAREST)
        self.image.paste(colour, (0, top, self.width, bottom), band)

    def finish(self) -> None:
        """Add a fine grain over the image, like uncoated paper."""
        soft = self._noise.point([128 + round((level - 127.5) / 127.5 * 6) for level in range(256)])
        self.image = ImageChops.add(self.image, Image.merge("RGB", (soft, soft, soft)), 1.0, -128)


Profile = Callable[[float], float]


def rolling(rng: Random, wavelength: float) -> Profile:
    """Return a soft line, -1 to 1, for hills and dunes."""
    waves = [
        (2 * math.pi / (wavelength * factor * rng.uniform(0.85, 1.15)), rng.uniform(0, 2 * math.pi), weight)
        for factor, weight in ((1.0, 0.6), (0.53, 0.28), (0.27, 0.12))
    ]
    return lambda x: sum(weight * math.sin(x * turn + phase) for turn, phase, weight in waves)


def jagged(rng: Random, wavelength: float, octaves: int = 5) -> Profile:
    """Return a jagged line, about -1 to 1, for rocks: linear noise at decreasing wavelengths."""
    lattices = [
        (
            wavelength / 2**octave,
            0.52**octave * 0.62,
            [rng.uniform(-1, 1) for _ in range(64)],
            rng.random() * 64,
        )
        for octave in range(octaves)
    ]
    # Peaks and valleys alternate in the longest wave; otherwise some images would show no mountain.
    first = lattices[0][2]
    for index in range(0, 64, 2):
        first[index] = 0.45 + 0.55 * abs(first[index])
        first[index + 1] = -0.3 - 0.7 * abs(first[index + 1])

    def height(x: float) -> float:
        total = 0.0
        for length, weight, values, offset in lattices:
            place = x / length + offset
            index = math.floor(place)
            share = place - index
            total += weight * (values[index % 64] * (1 - share) + values[(index + 1) % 64] * share)
        return total

    return height
