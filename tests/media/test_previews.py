"""Previews: JPEG within a size in bytes, whatever the image."""

from __future__ import annotations

import io
import random

import pytest
from imagegateway.media.previews import Previews
from PIL import Image

PIXELS = 50_000_000


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def noise(side: int) -> Image.Image:
    """Return an image that compresses badly."""
    return Image.frombytes("RGB", (side, side), random.Random(1).randbytes(side * side * 3))  # noqa: S311  no secret


async def decoded(data: bytes, max_bytes: int) -> Image.Image:
    """Return the preview of an image, after checking type and size in bytes."""
    preview = await Previews(PIXELS).make(data, max_bytes)
    assert preview is not None
    assert len(preview) <= max_bytes
    image = Image.open(io.BytesIO(preview))
    assert image.format == "JPEG"
    return image


async def test_preview_keeps_the_shape_within_1024_pixels() -> None:
    image = await decoded(encoded(Image.new("RGB", (2000, 1000), "red")), 100_000)
    assert image.size == (1024, 512)


async def test_small_bound_makes_a_smaller_preview() -> None:
    image = await decoded(encoded(noise(1200)), 60_000)
    assert image.width < 1024


async def test_transparent_pixels_are_white() -> None:
    image = await decoded(encoded(Image.new("RGBA", (64, 64), (255, 0, 0, 0))), 10_000)
    assert image.getpixel((32, 32)) == (255, 255, 255)


@pytest.mark.parametrize("data", [b"", b"<svg/>", encoded(Image.new("RGB", (64, 64)))[:60]])
async def test_file_that_can_not_be_decoded_has_no_preview(data: bytes) -> None:
    assert await Previews(PIXELS).make(data, 10_000) is None


async def test_bound_that_no_preview_meets_has_no_preview() -> None:
    assert await Previews(PIXELS).make(encoded(noise(600)), 100) is None
