"""Prices of models: rules as data, estimates before a call, and costs after it.

Amounts are whole nano-dollars (1e-9 US dollars), so that sums are exact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from imagegateway.platform.money import to_cost, usd

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.v1.job_pb2 import Cost

MEGAPIXEL: Final = 1024 * 1024
"""Pixels of a megapixel, as providers count them: an image of 1024x1024 is one."""
_MAX_UNITS: Final = 1e9
_MILLION: Final = 1_000_000
_CHARACTERS_PER_TOKEN: Final = 3
"""Characters of a prompt that an estimate counts as one token: English has about four."""

Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""


def per_million(amount: str) -> int:
    """Return the price of one token in nano-dollars, from US dollars for a million tokens."""
    return usd(amount) // _MILLION


def stated_cost(units: Any, unit_price: int, *, estimated: bool = False) -> Cost | None:
    """Return the cost that a response states in units of the provider; None unless that is a number from 0 to 1e9.

    `unit_price`: nano-dollars of a unit. `estimated`: the provider may bill less.
    """
    try:
        count = float(units)
    except (TypeError, ValueError):
        return None
    return to_cost(round(count * unit_price), estimated=estimated) if 0 <= count <= _MAX_UNITS else None


class Unit(StrEnum):
    """Units that prices are stated for."""

    IMAGE = "image"
    MEGAPIXEL = "megapixel"
    SECOND = "second"
    MILLION_TOKENS = "million_tokens"


@dataclass(frozen=True, slots=True)
class Order:
    """A request as its price depends on it."""

    task: provider.ImageTask
    size: Size
    """Requested size, or the model's default."""


class Rule(ABC):
    """Price rule of one route of a model."""

    __slots__ = ()

    @property
    @abstractmethod
    def unit(self) -> Unit:
        """Return the unit of the stated price."""

    @abstractmethod
    def unit_price(self, order: Order) -> int | None:
        """Return the price of one unit in this order; None: unknown."""

    @abstractmethod
    def output(self, order: Order, size: Size) -> int | None:
        """Return the price of one image or video of a size, with its share of the inputs; None: unknown."""

    def estimate(self, order: Order) -> int | None:
        """Return the expected price of all requested images, before the call; None: unknown."""
        return self._sum(order, [order.size] * order.task.n)

    def final(self, order: Order, done: provider.Done) -> int | None:
        """Return the price of a call's results, and of missing images that the provider bills all the same.

        A requested size is what the provider bills; where the model chose the size, the real one counts.
        """
        made = [(artifact.media.width, artifact.media.height) for artifact in done.artifacts]
        sizes = [order.size if order.task.width or not all(size) else size for size in made]
        return self._sum(order, sizes + [order.size] * done.billed_missing)

    def _sum(self, order: Order, sizes: Iterable[Size]) -> int | None:
        total = 0
        for size in sizes:
            amount = self.output(order, size)
            if amount is None:
                return None
            total += amount
        return total


@dataclass(frozen=True, slots=True)
class Price:
    """Price of a route, and the provider's page that states it."""

    rule: Rule
    page: str
    """Empty for our own models."""
    checked: date
    """Day on which that page was last read."""


class _ImagePrice(Rule):
    """Rule with a price for each image."""

    __slots__ = ()

    @property
    def unit(self) -> Unit:
        return Unit.IMAGE

    def unit_price(self, order: Order) -> int | None:
        return self.output(order, order.size)


@dataclass(frozen=True, slots=True)
class PerImage(_ImagePrice):
    """The same price for every image."""

    amount: int

    def output(self, order: Order, size: Size) -> int:
        return self.amount


FREE: Final = PerImage(0)


@dataclass(frozen=True, slots=True)
class PerImageByQuality(_ImagePrice):
    """A price for an image of each quality."""

    default: int
    """Price without a quality, and with one that is not listed."""
    amounts: Mapping[str, int]

    def output(self, order: Order, size: Size) -> int:
        return self.amounts.get(order.task.quality, self.default)


@dataclass(frozen=True, slots=True)
class PerImageByArea(_ImagePrice):
    """A price for an image up to each area, and one for each input after the first."""

    steps: tuple[tuple[int, int], ...]
    """Most pixels, and the price up to there, ascending. The last price holds for larger images, too."""
    further_input: int = 0

    def output(self, order: Order, size: Size) -> int:
        pixels = size[0] * size[1]
        amount = next((amount for most, amount in self.steps if pixels <= most), self.steps[-1][1])
        return amount + self.further_input * max(0, len(order.task.inputs) - 1)


@dataclass(frozen=True, slots=True)
class PerImageBySize(_ImagePrice):
    """A price for an image of each quality and size; other sizes cost as the square by their area."""

    rows: Mapping[str, Mapping[Size, int]]
    """Prices by quality, then by size. Every row holds the size 1024x1024."""
    default: str
    """Quality of an order without one, and with one that is not listed."""

    def output(self, order: Order, size: Size) -> int:
        row = self.rows.get(order.task.quality) or self.rows[self.default]
        if size in row:
            return row[size]
        return -(-row[1024, 1024] * size[0] * size[1] // MEGAPIXEL)


@dataclass(frozen=True, slots=True)
class ByInput(_ImagePrice):
    """A rule for each kind of request: from text, from images, or with a mask."""

    text: _ImagePrice | None = None
    image: _ImagePrice | None = None
    mask: _ImagePrice | None = None
    transparent: _ImagePrice | None = None
    """Rule for images from text with a transparent background."""

    def output(self, order: Order, size: Size) -> int | None:
        task = order.task
        if task.HasField("mask"):
            rule = self.mask
        elif task.inputs:
            rule = self.image
        else:
            rule = self.transparent if self.transparent and task.background == "transparent" else self.text
        return rule.output(order, size) if rule else None


@dataclass(frozen=True, slots=True)
class PerMegapixel(Rule):
    """Prices by area of the image and of its inputs. A part of an area counts as a whole one."""

    first: int
    """Price of the first area of the image."""
    further: int
    """Price of each further one."""
    per_input: int = 0
    """Price of each area of an input."""
    area: int = MEGAPIXEL
    """Pixels of an area."""

    @property
    def unit(self) -> Unit:
        return Unit.MEGAPIXEL

    def unit_price(self, order: Order) -> int:
        return self.first + (MEGAPIXEL // self.area - 1) * self.further

    def output(self, order: Order, size: Size) -> int:
        inputs = sum(self._areas(media.width, media.height) for media in order.task.inputs)
        return self.first + (self._areas(*size) - 1) * self.further + inputs * self.per_input

    def _areas(self, width: int, height: int) -> int:
        return max(1, -(-width * height // self.area))


@dataclass(frozen=True, slots=True)
class PerSecond(Rule):
    """A price for each second of a video, by its shorter side."""

    steps: tuple[tuple[int, int], ...]
    """Longest shorter side in pixels, and the price up to there, ascending; the last one holds beyond."""
    default_seconds: float
    """Length of a video without a requested one."""

    @property
    def unit(self) -> Unit:
        return Unit.SECOND

    def unit_price(self, order: Order) -> int:
        return self._rate(order.size)

    def output(self, order: Order, size: Size) -> int:
        seconds = order.task.seconds if order.task.HasField("seconds") else self.default_seconds
        return round(self._rate(size) * seconds)

    def _rate(self, size: Size) -> int:
        return next((amount for most, amount in self.steps if min(size) <= most), self.steps[-1][1])


@dataclass(frozen=True, slots=True)
class PerToken(Rule):
    """Prices of tokens that are not cached. Without the provider's counts, `outputs` takes their place."""

    text_in: int
    """Price of an input token of text in nano-dollars, as the following ones."""
    image_in: int
    output_token: int
    """Price of an output token, of an image or a video."""
    outputs: Rule
    """Expected price of the output tokens of one image or video."""
    text_out: int = 0
    """Price of an output token of text."""
    input_tokens: Mapping[str, int] = field(default_factory=dict)
    """Expected tokens of an input image by `input_fidelity`; the empty one is the default."""
    partial_image_tokens: int = 0
    """Output tokens of each partial image."""

    @property
    def unit(self) -> Unit:
        return Unit.MILLION_TOKENS

    def unit_price(self, order: Order) -> int:
        return self.output_token * _MILLION

    def output(self, order: Order, size: Size) -> int | None:
        made = self.outputs.output(order, size)
        if made is None:
            return None
        task = order.task
        prompt = -(-len(task.prompt) // _CHARACTERS_PER_TOKEN) * self.text_in
        per_input = self.input_tokens.get(task.input_fidelity, self.input_tokens.get("", 0)) * self.image_in
        partial_images = task.partial_images * self.partial_image_tokens * self.output_token
        return made + prompt + len(task.inputs) * per_input + partial_images

    def final(self, order: Order, done: provider.Done) -> int | None:
        """Return the price of the counted tokens. None with an SVG's author, whose tokens have no known price."""
        usage = done.usage
        if done.HasField("svg_usage"):
            return None
        if not (usage.HasField("input_tokens") and usage.HasField("output_tokens")):
            # `super()` without arguments fails in a class with slots: the decorator replaces the class.
            return Rule.final(self, order, done)
        image_in = usage.input_tokens_details.image_tokens
        text_out = usage.output_tokens_details.text_tokens
        return (
            (usage.input_tokens - image_in) * self.text_in
            + image_in * self.image_in
            + (usage.output_tokens - text_out) * self.output_token
            + text_out * self.text_out
        )
