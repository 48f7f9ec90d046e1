"""EXIF orientation: input images are inspected, converted and masked as a viewer shows them."""

from __future__ import annotations

import pytest
from imagegateway.media.images import (
    ImageInfo,
    convert,
    inspect,
    normalise_mask,
    open_pixels,
)
from PIL import Image

from tests.media.image_files import PIXEL, chunk, label, png, save

CORNERS = {
    1: "rgbw",
    2: "grwb",
    3: "wbgr",
    4: "bwrg",
    5: "rbgw",
    6: "brwg",
    7: "wgbr",
    8: "gwrb",
}
"""Corners r g / b w (of 4 x 2 blocks) in each EXIF orientation, by the standard's table."""
COLOURS = {"r": (255, 0, 0), "g": (0, 255, 0), "b": (0, 0, 255), "w": (255, 255, 255)}


def turned(orientation: int, kind: str) -> bytes:
    """Return a 64x32 image of four coloured quarters with an EXIF orientation."""
    image = Image.new("RGB", (64, 32))
    for index, name in enumerate("rgbw"):
        image.paste(COLOURS[name], (index % 2 * 32, index // 2 * 16, index % 2 * 32 + 32, index // 2 * 16 + 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(image, kind, exif=exif.tobytes(), quality=100, subsampling=0, lossless=True)


def corners(image: Image.Image) -> str:
    """Return the names of the colours nearest to an image's quarters, row by row."""
    found = ""
    for x, y in ((1, 1), (3, 1), (1, 3), (3, 3)):
        pixel = image.convert("RGB").getpixel((image.width * x // 4, image.height * y // 4))
        assert isinstance(pixel, tuple)
        found += min(COLOURS, key=lambda name: sum(abs(a - b) for a, b in zip(COLOURS[name], pixel, strict=True)))
    return found


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_to_size_and_pixels(orientation: int, kind: str) -> None:
    data = turned(orientation, kind)
    size = (32, 64) if orientation >= 5 else (64, 32)
    facts = inspect(data, "image")
    assert ((facts.width, facts.height), facts.stored_size) == (size, (64, 32))
    image = open_pixels(data, "image")
    assert (image.size, corners(image)) == (size, CORNERS[orientation])


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
def test_converted_image_is_upright_without_an_orientation_tag(output_format: str) -> None:
    made = convert(turned(6, "JPEG"), output_format, 100)
    assert (inspect(made, "image").stored_size, inspect(made, "image").orientation) == ((32, 64), 1)
    assert corners(open_pixels(made, "image")) == CORNERS[6]


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"II",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\x09\0\0",
        b"MM\0*\0\0\0\x08\0\1\x01\x12\0\4\0\0\0\1\0\0\0\6",
    ],
    ids=label,
)
def test_malformed_exif_orientation_counts_as_upright(exif: bytes) -> None:
    data = png((1, 1), 8, 2, PIXEL, chunk(b"eXIf", exif))
    assert inspect(data, "image").orientation == 1


def test_mask_is_compared_with_the_image_as_shown() -> None:
    shown = inspect(turned(6, "JPEG"), "image")
    mask = normalise_mask(turned(8, "PNG"), inspect(turned(8, "PNG"), "mask"), (shown.width, shown.height), "mask")
    assert inspect(mask, "mask") == ImageInfo("image/png", 32, 64, alpha=False)
