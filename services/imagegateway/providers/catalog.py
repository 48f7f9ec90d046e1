"""What a model is, as data. Families describe their models with these shapes; no code tests a model's name."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, floor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

TEXT_TO_IMAGE: Final = "text-to-image"
IMAGE_TO_IMAGE: Final = "image-to-image"
MASK: Final = "mask"
LORA: Final = "lora"
SEED: Final = "seed"
NEGATIVE_PROMPT: Final = "negative-prompt"
PARTIAL_IMAGES: Final = "partial-images"
TRANSPARENT: Final = "transparent-background"
STYLE: Final = "style"
TEXT_TO_VIDEO: Final = "text-to-video"
COMPLEXITY: Final = "complexity"
MARKUP: Final = "markup"
SAFETY_IDENTIFIER: Final = "safety-identifier"
SVG_AUTHOR: Final = "svg-author"

INLINE: Final = "inline"
ASYNC: Final = "async"

_SAME_SHAPE: Final = 1.01
"""Whole pixels make the sizes of one shape differ in it a little."""
_CLOSE: Final = 8
"""Steps of the short side, up and down, within which the nearest size of a shape is found."""


def same_shape(size: tuple[float, float], other: tuple[float, float]) -> bool:
    """Return whether two sizes (width, height) have the same shape, but for what whole pixels allow."""
    return _distance(size, other) <= _SAME_SHAPE


def _distance(size: tuple[float, float], other: tuple[float, float]) -> float:
    """Return how far two sizes differ in shape: 1 for the same, always 1 or more."""
    quotient = size[0] * other[1] / (size[1] * other[0])
    return max(quotient, 1 / quotient)


@dataclass(frozen=True, slots=True)
class Listed:
    """A model that makes these sizes (width, height in pixels) and no others; the first is its default."""

    sizes: tuple[tuple[int, int], ...]
    enough: float = 0.0
    """For a model with several sizes of a shape: the share of the asked area from which a size will do. The smallest
    one that does is taken; 0 takes the one of the closest area."""
    ratios: tuple[str, ...] = ()
    """Shapes, `<w>:<h>`, that the model knows by name, whatever pixels it makes of them."""
    by_ratio: bool = False
    """A size that is not listed is asked for as the nearest of `ratios` instead of the nearest size."""

    @property
    def default(self) -> tuple[int, int]:
        return self.sizes[0]

    def nearest(self, width: int, height: int) -> tuple[int, int]:
        """The size of the closest shape, then of the closest area, or the smallest that is `enough`."""

        def shape(size: tuple[int, int]) -> float:
            return _distance(size, (width, height))

        def area(size: tuple[int, int]) -> int:
            return size[0] * size[1]

        if not self.enough:
            return min(self.sizes, key=lambda size: (shape(size), abs(area(size) - width * height)))
        closest = min(map(shape, self.sizes)) * _SAME_SHAPE
        fitting = sorted((size for size in self.sizes if shape(size) <= closest), key=area)
        return next((size for size in fitting if area(size) >= self.enough * width * height), fitting[-1])


@dataclass(frozen=True, slots=True)
class Free:
    """A model that makes any size within limits: sides in pixels, multiples of `step`; `max_ratio` is the most that
    the longer side may be of the shorter one.
    """

    default: tuple[int, int]
    min_side: int
    max_side: int
    step: int = 1
    max_pixels: int = 1 << 62
    min_pixels: int = 0
    max_ratio: float = 1e6

    def nearest(self, width: int, height: int) -> tuple[int, int]:
        """Return the allowed size nearest in shape, then in area; a size that is allowed is its own nearest.

        Sizes within 1 % of the shape count as equal in shape, so among those the nearest area decides, and the
        smaller size of two that are equally near.
        """
        if width < height:
            high, wide = self.nearest(height, width)
            return wide, high
        if self._allows(width, height):
            return width, height
        least, most = -(-self.min_side // self.step) * self.step, self.max_side // self.step * self.step
        shape = (min(width, height * min(self.max_ratio, most / least)), height)

        area = shape[0] * shape[1]

        def rank(size: tuple[int, int]) -> tuple[float, float, int]:
            off = _distance(size, shape)
            return 0 if off <= _SAME_SHAPE else off, abs(size[0] * size[1] - area), size[0]

        scale = (min(max(area, self.min_pixels), self.max_pixels) / area) ** 0.5
        scale = max(min(scale, most / shape[0]), least / shape[1])
        ideal = round(height * scale / self.step) * self.step
        # Sizes of the right shape and area lie close together; every size is looked at only where there are none.
        around = range(ideal - _CLOSE * self.step, ideal + (_CLOSE + 1) * self.step, self.step)
        for shorts in (around, range(least, most + 1, self.step)):
            made = [size for short in shorts for size in self._beside(short, shape)]
            if any(same_shape(size, shape) for size in made):
                break
        return min(made, key=rank)

    def _beside(self, short: int, shape: tuple[float, float]) -> Iterator[tuple[int, int]]:
        """Yield the allowed sizes with this short side whose long side is nearest to the shape's."""
        steps = short * shape[0] / shape[1] / self.step
        for long in {floor(steps) * self.step, ceil(steps) * self.step}:
            if self._allows(long, short):
                yield long, short

    def _allows(self, long: int, short: int) -> bool:
        return (
            long % self.step == short % self.step == 0
            and self.min_side <= short <= long <= min(self.max_side, short * self.max_ratio)
            and self.min_pixels <= long * short <= self.max_pixels
        )


@dataclass(frozen=True, slots=True)
class Shapes:
    """A model that takes a shape, `<w>:<h>`, and chooses the pixels itself: about `pixels` of them."""

    ratios: tuple[str, ...]
    pixels: int
    default_ratio: str = "1:1"

    @property
    def default(self) -> tuple[int, int]:
        return self.nearest(*sides(self.default_ratio))

    def nearest(self, width: int, height: int) -> tuple[int, int]:
        """About the size that the model makes when it is asked for the nearest shape."""
        left, right = sides(self.ratio(width, height))
        unit = (self.pixels / (left * right)) ** 0.5
        return round(left * unit), round(right * unit)

    def ratio(self, width: int, height: int) -> str:
        """The nearest shape that the model knows."""

        return nearest_ratio(self.ratios, width, height)


def nearest_ratio(ratios: tuple[str, ...], width: int, height: int) -> str:
    """The closest of some shapes, `<w>:<h>`, to a size."""
    return min(ratios, key=lambda ratio: _distance(sides(ratio), (width, height)))


def sides(ratio: str) -> tuple[int, int]:
    """Both numbers of a shape, `<w>:<h>`."""
    width, _, height = ratio.partition(":")
    return int(width), int(height)


@dataclass(frozen=True, slots=True)
class Route:
    """One way to reach a model."""

    name: str
    """Route name, as in `X-BYOK-<route>`."""
    mode: str
    """`inline` or `async`: whether callers wait for the answer by default."""
    native: str
    """What the provider calls the model."""
    settings: tuple[str, ...] = ()
    """The settings without any of which the route can't serve, such as IMAGEGATEWAY_BFL_API_KEY."""
    repeatable: bool = False
    """Starting the same job twice costs nothing: an embedded model, or a provider that takes our job id."""
    concurrency: int | None = None
    """Most places that the provider gives one key at once for this model, where it says so."""
    pictures_per_place: int = 1
    """Pictures of one call that share a place: more than one where the provider counts requests, and a request makes
    several pictures."""
    shared: bool = False
    """The places are the server's, whoever's key a call carries: a server of the operator's own."""
    price_per_image: float | None = None
    """US dollars for one picture, where the provider has a flat price."""
    per_call: int | None = None
    """Most pictures that one request makes, where the model differs from its route's other ones."""
    reserved: frozenset[tuple[str, ...]] = frozenset()
    """What `provider_options` may not name, beside `imagegateway.providers.kit.reserved_options.COMMON`."""

    def places(self, n: int) -> int:
        """How many places a call for `n` pictures takes up; one where the provider says nothing of places."""
        return 1 if self.concurrency is None else -(-n // self.pictures_per_place)


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of the catalog."""

    id: str
    family: str
    description: str
    created: date
    source: str
    """The provider's page that these facts come from; empty for our own models."""
    checked: date
    """When that page was last read."""
    routes: tuple[Route, ...]
    sizes: Listed | Free | Shapes
    capabilities: frozenset[str]
    """What every one of its routes can do, so that any of them may serve."""
    modality: str = "image"
    aliases: tuple[str, ...] = ()
    max_prompt_length: int = 4000
    base64_aliases: frozenset[str] = frozenset()
    """Aliases, in lower case, under which answers carry bytes unless the caller asks for URLs: the clients that use
    these names read nothing else."""
    prompt_required: bool = True
    max_n: int = 10
    max_inputs: int = 0
    output_formats: tuple[str, ...] = ("png",)
    qualities: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    """The provider's own styles, as it spells them."""
    seconds: tuple[float, float] | None = None
    """Shortest and longest video, in seconds."""
    fps: tuple[int, ...] = ()
    """Frame rates that a caller may choose from."""
    retired_at: date | None = None
    successor: str = ""
    defaults: Mapping[str, str] = field(default_factory=dict)
    edit_sizes: Listed | Free | Shapes | None = None
    """Sizes of edits, where they are others than those of pictures from text."""

    def sizes_of(self, *, edit: bool) -> Listed | Free | Shapes:
        """The sizes that count for an edit, or for a picture from text."""
        return self.edit_sizes or self.sizes if edit else self.sizes

    def after(self, route: str) -> tuple[Route, ...]:
        """The routes that come after one, in the order in which they are tried."""
        names = [known.name for known in self.routes]
        return self.routes[names.index(route) + 1 :]

    def can(self, capability: str) -> bool:
        return capability in self.capabilities
