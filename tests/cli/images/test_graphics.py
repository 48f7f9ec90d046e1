"""Encoders of images for terminals: each sequence decodes to the image's pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.cli.images import graphics
from imagegateway.cli.images.graphics import Area
from imagegateway.cli.images.terminal_query import Protocol
from PIL import Image, ImageChops, ImageDraw

from tests.support import terminal_images

if TYPE_CHECKING:
    from collections.abc import Callable

_AREA = Area(columns=40, rows=20, cell=(8, 16))


def drawing(width: int = 64, height: int = 50, *, clear: bool = False) -> Image.Image:
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0) if clear else (30, 60, 90, 255))
    draw = ImageDraw.Draw(image)
    draw.rectangle((width // 8, height // 8, width // 2, height // 2), fill=(250, 200, 10, 255))
    draw.line((0, height - 1, width - 1, 0), fill=(255, 0, 0, 255))
    return image


def difference(one: Image.Image, other: Image.Image) -> int:
    """Return the largest difference of a channel."""
    assert one.size == other.size
    bands = ImageChops.difference(one.convert("RGBA"), other.convert("RGBA")).getextrema()
    return max(int(high) for _, high in bands)  # type: ignore[misc]  # a pair for each of four channels


def test_kitty_sequence_decodes_to_the_image_and_names_its_columns() -> None:
    image = drawing()
    shown, keys = terminal_images.kitty(graphics.encode(image, Protocol.KITTY, _AREA))
    assert difference(shown, image) == 0
    assert keys.items() >= {"a": "T", "f": "100", "q": "2", "c": "8"}.items()


def test_kitty_sequence_of_a_large_image_comes_in_chunks() -> None:
    noise = Image.effect_noise((320, 320), 80)
    sequence = graphics.encode(noise, Protocol.KITTY, _AREA)
    assert sequence.count("\x1b_G") > 10
    assert difference(terminal_images.kitty(sequence)[0], noise) == 0


def test_iterm2_sequence_decodes_to_the_image() -> None:
    image = drawing(clear=True)
    shown, arguments = terminal_images.iterm2(graphics.encode(image, Protocol.ITERM2, _AREA))
    assert difference(shown, image) == 0
    assert arguments.items() >= {"inline": "1", "width": "8", "preserveAspectRatio": "1"}.items()


@pytest.mark.parametrize("height", [1, 6, 7, 50], ids=lambda height: f"{height} rows")
def test_sixels_decode_to_the_image_within_a_percent(height: int) -> None:
    image = drawing(height=height)
    shown = terminal_images.sixel(graphics.encode(image, Protocol.SIXEL, _AREA))
    assert difference(shown, image) <= 3  # a sixel's colours are whole percents


def test_transparent_pixels_have_no_sixel() -> None:
    image = drawing(clear=True)
    shown = terminal_images.sixel(graphics.encode(image, Protocol.SIXEL, _AREA))
    assert shown.getchannel("A").tobytes() == image.getchannel("A").tobytes()


@pytest.mark.parametrize(
    "decode",
    [
        lambda image: terminal_images.kitty(graphics.encode(image, Protocol.KITTY, _AREA))[0],
        lambda image: terminal_images.iterm2(graphics.encode(image, Protocol.ITERM2, _AREA))[0],
        lambda image: terminal_images.sixel(graphics.encode(image, Protocol.SIXEL, _AREA)),
    ],
    ids=["kitty", "iterm2", "sixel"],
)
@pytest.mark.parametrize(("size", "fitted"), [((2000, 500), (320, 80)), ((500, 2000), (80, 320)), ((9, 9), (9, 9))])
def test_image_is_scaled_down_to_the_area(
    decode: Callable[[Image.Image], Image.Image], size: tuple[int, int], fitted: tuple[int, int]
) -> None:
    assert decode(drawing(*size)).size == fitted


def test_half_blocks_hold_two_pixels_a_cell() -> None:
    image = drawing(12, 8)
    rows = list(graphics.half_blocks(image, _AREA))
    assert [len(row) for row in rows] == [12] * 4
    pixels = image.convert("RGB")
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            assert (cell.upper, cell.lower) == (pixels.getpixel((x, 2 * y)), pixels.getpixel((x, 2 * y + 1)))


def test_half_blocks_of_an_odd_height_end_with_an_empty_lower_half() -> None:
    *_, last = graphics.half_blocks(drawing(12, 7), _AREA)
    assert {(cell.upper is None, cell.lower, cell.character) for cell in last} == {(False, None, "▀")}


def test_transparent_half_block_shows_the_other_half() -> None:
    image = Image.new("RGBA", (3, 2), (1, 2, 3, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    image.putpixel((1, 1), (0, 0, 0, 0))
    (row,) = graphics.half_blocks(image, _AREA)
    assert [cell.character for cell in row] == ["▄", "▀", "▀"]
    assert row[0].upper is None
    assert row[1].lower is None
