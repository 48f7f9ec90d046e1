"""Colours of the sketch model: perceptually uniform mixing, and the named palettes.

Colours are mixed and turned in Oklab (https://bottosson.github.io/posts/oklab/), where the middle of two colours also
looks like the middle. A `Colour` is 8-bit sRGB: red, green, blue, each 0 to 255.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Colour = tuple[int, int, int]
_Lab = tuple[float, float, float]


def _hex(text: str) -> Colour:
    return int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16)


def _linear(channel: int) -> float:
    value = channel / 255
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _gamma(value: float) -> int:
    value = min(1.0, max(0.0, value))
    value = value * 12.92 if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
    return round(value * 255)


@lru_cache(maxsize=1024)  # a city asks at each window whether its sky is dark
def _to_lab(colour: Colour) -> _Lab:
    red, green, blue = (_linear(channel) for channel in colour)
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    medium = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def _from_lab(lab: _Lab) -> Colour:
    light, a, b = lab
    long = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (light - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        _gamma(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short),
        _gamma(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short),
        _gamma(-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short),
    )


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour `share` (0 to 1) of the way from the first to the second."""
    a, b = _to_lab(first), _to_lab(second)
    return _from_lab((a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share))


def ramp(stops: Sequence[Colour], steps: int) -> list[Colour]:
    """`steps` colours that run evenly through all the stops, both ends included."""
    if steps <= 1:
        return [stops[0]]
    colours = []
    for step in range(steps):
        place = step / (steps - 1) * (len(stops) - 1)
        index = min(int(place), len(stops) - 2)
        colours.append(mix(stops[index], stops[index + 1], place - index))
    return colours


def adjust(colour: Colour, *, light: float = 0.0, chroma: float = 1.0, turn: float = 0.0) -> Colour:
    """Return a colour made lighter (`light` in Oklab's 0 to 1), more saturated (factor) and turned (degrees)."""
    lightness, a, b = _to_lab(colour)
    angle = math.radians(turn)
    a, b = (
        chroma * (a * math.cos(angle) - b * math.sin(angle)),
        chroma * (a * math.sin(angle) + b * math.cos(angle)),
    )
    return _from_lab((min(1.0, max(0.0, lightness + light)), a, b))


def lightness(colour: Colour) -> float:
    """Return a colour's lightness: 0 black to 1 white."""
    return _to_lab(colour)[0]


def at_lightness(colour: Colour, target: float) -> Colour:
    """Return the same hue at another lightness, 0 to 1."""
    return adjust(colour, light=target - lightness(colour))


def dye(colour: Colour, ink: Colour, strength: float) -> Colour:
    """Return a colour in the hue of `ink` (`strength` 0 to 1), with nearly the same lightness."""
    light, a, b = _to_lab(colour)
    ink_light, ink_a, ink_b = _to_lab(ink)
    light += (ink_light - light) * 0.22 * strength
    # Very light and very dark colours hold less chroma: without this a dyed horizon looks garish.
    room = 1 - abs(light - 0.6) * 1.1
    return _from_lab(
        (light, a + (ink_a * room - a) * strength, b + (ink_b * room - b) * strength),
    )


@dataclass(frozen=True, slots=True)
class Palette:
    """Inks of one image."""

    zenith: Colour
    """Top of the sky."""
    sky: Colour
    """Middle of the sky."""
    horizon: Colour
    """The sky where it meets the land."""
    light: Colour
    """Sun, moon, lit windows, foam."""
    far: Colour
    """The farthest layer of land or water."""
    near: Colour
    """The nearest layer; the darkest ink."""
    accent: Colour
    """Accents such as sails, flowers, roofs."""

    @property
    def dark(self) -> bool:
        """Return whether the image shows night."""
        return lightness(self.sky) < 0.47

    @property
    def paper(self) -> Colour:
        """Return the colour of the paper: warm white, or deep ink at night."""
        if self.dark:
            return at_lightness(mix(self.near, self.zenith, 0.4), 0.2)
        return mix((250, 246, 238), at_lightness(self.horizon, 0.93), 0.3)

    @property
    def ink(self) -> Colour:
        """Return the colour of letters on the paper."""
        if self.dark:
            return at_lightness(mix(self.light, self.horizon, 0.12), 0.93)
        return at_lightness(self.near, 0.29)

    def layers(self, count: int) -> list[Colour]:
        """Return `count` colours of land, from the farthest and palest to the nearest."""
        return ramp((self.far, mix(self.far, self.near, 0.52), self.near), count)

    def each(self, **change: float) -> Palette:
        """Return the palette with each ink changed by `adjust`."""
        return Palette(*(adjust(ink, **change) for ink in self.inks()))

    def dyed(self, ink: Colour, strength: float) -> Palette:
        """Return the palette with each ink except light and accent dyed in one hue."""
        inks = {
            field.name: dye(getattr(self, field.name), ink, strength)
            for field in fields(self)
            if field.name not in {"light", "accent"}
        }
        return replace(self, **inks)

    def mixed(self, other: Palette, share: float) -> Palette:
        """Return this palette mixed with a share (0 to 1) of another."""
        return Palette(*(mix(a, b, share) for a, b in zip(self.inks(), other.inks(), strict=True)))

    def inks(self) -> tuple[Colour, ...]:
        """Return all inks, in the order of the fields."""
        return self.zenith, self.sky, self.horizon, self.light, self.far, self.near, self.accent


def _palette(text: str) -> Palette:
    return Palette(*(_hex(part) for part in text.split()))


PALETTES: Final[Mapping[str, Palette]] = {
    #                    zenith sky    horizon light far   near   accent
    "dawn": _palette("5f73b0 eaa3a8 fcd9b4 fff3d6 b58aa6 38345f e9695a"),
    "day": _palette("3f93cb 94cbe4 f0f3e2 fff7dc 8dbab4 1c565a f3b244"),
    "sunset": _palette("402a63 dc5468 ffb55e fff2bf b84f6d 2a1a45 ffcf6f"),
    "dusk": _palette("1f2a5c 70509a f29d86 ffe2ba 795a9e 1a1a40 f4a75b"),
    "night": _palette("0a1232 1a2d5f 44659c f8f0d4 3a5688 081028 f6c768"),
    "storm": _palette("36414e 62727c b7c0ba ecedda 748489 1d2932 e5b34a"),
    "fog": _palette("b3c2c6 d2dad7 f1ede3 fffbf2 b9c5c4 455a62 cb7757"),
    "winter": _palette("7ba1c8 bad2e6 f6efea fff8ea a8c1d9 2c4a70 d1463f"),
    "autumn": _palette("6b90a4 e9c890 f8e4bc fff2c8 d4935a 55261f cc462b"),
    "spring": _palette("80c4da c8e7df fcefe0 fff8e0 9ccca4 2a6751 f08aa2"),
    "desert": _palette("e0845a f5ba7c fde6ba fff4d6 e39e62 74302a 2f7a78"),
    "ocean": _palette("1c6fae 67b8d4 e4f2e8 fff5d6 3f98bd 0a385e f47d55"),
    "forest": _palette("7ab09f c2dab9 f4f1d4 fff5d0 80ab8b 10362d ea9140"),
    "space": _palette("07071e 1c1548 5d2b7c ffeac4 4c3b8e 0c0a28 ff7c5c"),
    "neon": _palette("120930 4b1573 f0488f ffd970 6b2b9c 0e0a2c 2ae0d9"),
    "pastel": _palette("a9c4ec dcc9ec fde2dc fff9e6 c6b4dc 6a5a94 f59aa8"),
    "ink": _palette("a8a8a4 d2d1cb f1efe8 fffdf6 a3a29d 262626 c8402f"),
    "lava": _palette("1c0d18 6a1a22 f4672c ffe39a 7c2a2c 180a12 ffb03a"),
}


def _named(text: str) -> dict[str, Colour]:
    return {name: _hex(value) for name, value in (pair.split(":") for pair in text.split())}


COLOURS: Final[Mapping[str, Colour]] = _named(
    "red:d8382e scarlet:d8342a crimson:b81f3a ruby:a81f45 orange:f08228 amber:f2a32c golden:efb632 "
    "gold:e8b23a yellow:f4cf3c lemon:f3dc55 cream:f4e6c4 beige:dcc7a2 brown:7d4f32 copper:b8683c "
    "bronze:a5763a ginger:d97a35 lime:9ccb3b green:3c9a57 emerald:1f8f62 olive:808a3a mint:93d6b4 "
    "teal:1f8c8a turquoise:35b5b0 cyan:2fb9d8 aqua:4cc3d0 azure:3f93dc blue:2f6fd0 cobalt:2450b4 "
    "navy:1e2f68 indigo:43379b violet:7a4cc0 purple:7b3fa8 lavender:b29bdc lilac:c3a3dc "
    "magenta:c8348f fuchsia:d63a96 pink:f08db0 rose:e26a86 coral:f47f68 peach:f8b38c salmon:f0917c "
    "black:24242a white:f7f4ee silver:c3c8cf grey:8e9297 gray:8e9297"
)
