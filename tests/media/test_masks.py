"""Masks: the part to edit is white or transparent, at every depth and colour type."""

from __future__ import annotations

import pytest
from imagegateway.media.images import (
    ImageInfo,
    inspect,
    normalise_mask,
    open_pixels,
)
from imagegateway.platform.errors import GatewayError
from PIL import Image

from tests.media.image_files import chunk, encode, label, png, save


def mask_of(data: bytes, size: tuple[int, int]) -> bytes:
    """Return the grey values of a normalised mask."""
    made = normalise_mask(data, inspect(data, "mask"), size, "mask")
    assert inspect(made, "mask") == ImageInfo("image/png", *size, alpha=False)
    image = open_pixels(made, "mask")
    assert image.mode == "L"
    return image.tobytes()


def test_transparent_mask_area_is_edited() -> None:
    image = Image.new("RGBA", (3, 1), "white")
    image.putalpha(Image.frombytes("L", (3, 1), bytes([0, 100, 255])))
    for data in (
        save(image, "PNG"),
        save(image, "WEBP", lossless=True, exact=True),
        save(image.convert("LA"), "PNG"),
    ):
        assert mask_of(data, (3, 1)) == bytes([255, 155, 0])


@pytest.mark.parametrize(
    "data",
    [
        png((2, 1), 1, 0, [b"\x40"], chunk(b"tRNS", b"\0\1")),
        png((2, 1), 2, 0, [b"\x30"], chunk(b"tRNS", b"\0\3")),
        png((2, 1), 4, 0, [b"\x3f"], chunk(b"tRNS", b"\0\x0f")),
        png((2, 1), 8, 0, [b"\x30\x7f"], chunk(b"tRNS", b"\0\x7f")),
        png((2, 1), 16, 0, [b"\x30\0\x7f\1"], chunk(b"tRNS", b"\x7f\1")),
        png((2, 1), 8, 2, [b"\1\2\3\4\5\6"], chunk(b"tRNS", b"\0\4\0\5\0\6")),
        png((2, 1), 16, 2, [bytes(6) + b"\1\0\2\0\3\0"], chunk(b"tRNS", b"\1\0\2\0\3\0")),
        png((2, 1), 8, 3, [b"\0\1"], chunk(b"PLTE", bytes(6)) + chunk(b"tRNS", b"\xff\0")),
    ],
    ids=label,
)
def test_transparent_colour_of_a_mask_is_edited_at_every_depth(data: bytes) -> None:
    assert mask_of(data, (2, 1)) == b"\0\xff"


@pytest.mark.parametrize(
    "data",
    [
        png((3, 1), 8, 0, [b"\x00\x80\xff"]),
        png((3, 1), 16, 0, [b"\x00\x00\x80\x00\xff\xff"]),
        png((3, 1), 8, 2, [b"\0\0\0\x80\x80\x80\xff\xff\xff"]),
        png((3, 1), 8, 3, [b"\2\1\0"], chunk(b"PLTE", b"\xff\xff\xff\x80\x80\x80\0\0\0")),
    ],
    ids=label,
)
def test_white_mask_area_is_edited_without_transparency(data: bytes) -> None:
    assert mask_of(data, (3, 1)) == b"\x00\x80\xff"


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_white_jpeg_mask_marks_the_whole_image_in_every_mode(mode: str) -> None:
    data = save(Image.new("RGB", (16, 16), "white").convert(mode), "JPEG")
    assert set(mask_of(data, (16, 16))) == {255}


def test_masks_of_another_size_are_refused() -> None:
    data = encode("L", "PNG")
    with pytest.raises(GatewayError) as caught:
        normalise_mask(data, inspect(data, "mask_url"), (64, 32), "mask_url")
    assert (caught.value.code, caught.value.param) == ("invalid_image", "mask_url")
    assert caught.value.message == ("mask_url is 23x17 pixels, but the image is 64x32; they must be equal.")
