"""Inspection of untrusted images: every damaged file raises one GatewayError that names the field."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagegateway.media.images import (
    MAX_PIXELS,
    MAX_SIDE,
    RESULT_TYPES,
    ImageInfo,
    convert,
    inspect,
    open_pixels,
)
from imagegateway.platform.errors import GatewayError
from PIL import Image

from tests.media.image_files import (
    END,
    FRAMES,
    PIXEL,
    SIGNATURE,
    SIZE,
    VALID,
    chunk,
    encode,
    header,
    label,
    png,
    refused,
    riff,
    save,
    with_thumbnail,
)
from tests.support.examples import examples


@pytest.mark.parametrize("name", VALID)
def test_valid_image_is_inspected(name: str) -> None:
    data, media_type, alpha = VALID[name]
    assert inspect(data, "image") == inspect(memoryview(data), "image") == ImageInfo(media_type, *SIZE, alpha)
    assert open_pixels(data, "image").size == SIZE


@pytest.mark.parametrize("name", [name for name in VALID if "trailing" not in name])
def test_every_truncation_is_refused(name: str) -> None:
    data = VALID[name][0]
    for length in {*range(0, len(data), max(1, len(data) // 97)), len(data) - 1}:
        with pytest.raises(GatewayError) as caught:
            inspect(data[:length], "image")
        assert caught.value.code == "invalid_image"


@settings(max_examples=examples(2.5), deadline=None)
@given(st.sampled_from(sorted(VALID)), st.data())
def test_mutated_image_is_accepted_or_refused_without_another_error(name: str, drawn: st.DataObject) -> None:
    data = bytearray(VALID[name][0])
    for _ in range(drawn.draw(st.integers(1, 4))):
        data[drawn.draw(st.integers(0, len(data) - 1))] = drawn.draw(st.integers(0, 255))
    if data.startswith(SIGNATURE):
        data = bytearray(with_checksums(bytes(data)))
    try:
        facts = inspect(bytes(data), "image")
        assert open_pixels(bytes(data), "image").size == (facts.width, facts.height)
    except GatewayError as error:
        assert error.code == "invalid_image"  # noqa: PT017  either outcome is right, no other is


def with_checksums(data: bytes) -> bytes:
    """Return the same PNG with correct CRCs, so that damage reaches the decoder."""
    parts = [data[:8]]
    position = 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        body = data[position + 4 : position + 8 + length]
        parts += [data[position : position + 4], body, struct.pack(">I", zlib.crc32(body))]
        position += 12 + length
    return b"".join(parts)


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 100,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        save(FRAMES[0], "GIF"),
        save(FRAMES[0], "TIFF"),
        save(FRAMES[0].convert("RGB"), "BMP"),
        b"RIFF\x24\0\0\0WAVEfmt ",
        SIGNATURE[:7],
        b"\xff\xd8",
    ],
    ids=label,
)
def test_other_types_are_refused(data: bytes) -> None:
    assert refused(data) == "image[1] is not a PNG, JPEG or WebP image."


def test_empty_files_are_refused() -> None:
    assert refused(b"") == "image[1] is empty."


@pytest.mark.parametrize(
    ("data", "clause"),
    [
        (png((1, 1), 8, 2, PIXEL)[:-1], "truncated"),
        (png((1, 1), 8, 2, PIXEL)[:-12], "truncated"),
        (png((1, 1), 8, 2, PIXEL).replace(b"IDAT", b"IDAX"), "checksum"),
        (png((1, 1), 8, 2, PIXEL, header((9, 9), 8, 2)), "two headers"),
        (png((1, 1), 8, 3, [b"\0"]), "pixels are missing"),
        (SIGNATURE + header((1, 1), 8, 2) + END, "pixels are missing"),
        (SIGNATURE + chunk(b"tEXt", b"x" * 13) + END, "header is missing"),
        (png((1, 1), 4, 2, PIXEL), "header is malformed"),
        (png((1, 1), 8, 5, PIXEL), "header is malformed"),
        (png((1, 1), 8, 2, PIXEL, chunk(b"tEXt", b"") * 70_000), "too many"),
        (b"\xff\xd8\xff\xd9", "marker is missing"),
        (b"\xff\xd8\xff\xfe\x00\x01", "length is wrong"),
        (b"\xff\xd8" + b"\xff\xfe\x00\x02" * 70_000, "too many"),
        (b"\xff\xd8\xff\xda\x00\x02\xff\xd9", "frame header is missing"),
        (b"\xff\xd8" + b"\xff\xc0\x00\x08\x08\x00\x01\x00\x01\x00" * 2, "two frame headers"),
        (encode("RGB", "JPEG")[:-2], "end marker is missing"),
        (with_thumbnail()[:-2], "end marker is missing"),
        (riff(), "pixels are missing"),
        (riff((b"VP8X", bytes(10))), "pixels are missing"),
        (riff((b"VP8L", b"\x2f\0\0\0\x20")), "frame header is malformed"),
        (riff((b"VP8 ", b"\1\0\0\x9d\x01\x2a\1\0\1\0")), "frame header is malformed"),
        (riff((b"VP8X", bytes(10)), (b"VP8L", b"\x2f\1\0\0\0")), "different sizes"),
        (riff((b"VP8L", b"\x2f\1\0\0\0"), (b"VP8L", b"\x2f\1\0\0\0")), "two headers"),
        (riff(*[(b"XMP ", b"")] * 70_000), "too many"),
        (encode("RGB", "WEBP")[:-2], "ends early"),
    ],
    ids=label,
)
def test_broken_structures_are_refused(data: bytes, clause: str) -> None:
    assert clause in refused(data)


def test_webp_without_its_last_padding_byte_is_accepted() -> None:
    data = encode("RGB", "WEBP", (1, 1), lossless=True)
    (length,) = struct.unpack_from("<I", data, 16)
    body = data[20 : 20 + length] + (b"\0" if length % 2 == 0 else b"")
    odd = b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBPVP8L" + struct.pack("<I", len(body)) + body
    assert len(odd) % 2 == 1
    assert inspect(odd, "image") == ImageInfo("image/webp", 1, 1, alpha=False)


@pytest.mark.parametrize(
    "size", [(MAX_SIDE + 1, 1), (1, MAX_SIDE + 1), (MAX_SIDE, MAX_SIDE), (10_000, MAX_PIXELS // 10_000 + 1)]
)
def test_decompression_bomb_is_refused_before_decoding(size: tuple[int, int]) -> None:
    bombs = [
        png(size, 8, 2, [b""]),
        b"\xff\xd8\xff\xc0\x00\x08\x08" + struct.pack(">HH", size[1], size[0]) + b"\0\xff\xda\0\2\xff\xd9",
        riff(
            (b"VP8X", bytes(4) + (size[0] - 1).to_bytes(3, "little") + (size[1] - 1).to_bytes(3, "little")),
            (b"ANMF", b""),
        ),
    ]
    for bomb in bombs:
        assert refused(bomb) == (
            f"image[1] is {size[0]}x{size[1]} pixels; the limits are 16384 a side and 50000000 in all."
        )


@pytest.mark.parametrize("size", [(0, 1), (1, 0)])
def test_images_without_pixels_are_refused(size: tuple[int, int]) -> None:
    assert refused(png(size, 8, 2, [b""])) == "image[1] has no pixels."


def test_largest_images_pass() -> None:
    for size in ((MAX_SIDE, 1), (10_000, MAX_PIXELS // 10_000)):
        assert inspect(png(size, 8, 2, [b""]), "image").width == size[0]


@pytest.mark.parametrize(
    "pixels", [b"", zlib.compress(b"\0\0\0"), b"not deflate", zlib.compress(b"\0" * 4)[:-5]], ids=label
)
def test_pixels_that_do_not_decode_are_refused(pixels: bytes) -> None:
    data = SIGNATURE + header((1, 64), 8, 2) + chunk(b"IDAT", pixels) + END
    inspect(data, "image")
    assert refused(data) == "image[1] could not be decoded."


def test_gif_is_a_result_and_no_input() -> None:
    animated = save(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:])
    plain, clear = save(FRAMES[0].convert("RGB"), "GIF"), save(Image.new("RGBA", SIZE), "GIF")
    assert [inspect(data, "image", RESULT_TYPES).alpha for data in (plain, clear)] == [False, True]
    for data in (animated, plain, clear):
        facts = inspect(data, "image", RESULT_TYPES)
        assert (facts.media_type, facts.width, facts.height) == ("image/gif", *SIZE)
        assert "not a PNG" in refused(data)
        for length in range(len(data)):
            with pytest.raises(GatewayError):
                inspect(data[:length], "image", RESULT_TYPES)
    assert inspect(convert(animated, "png", None), "image").media_type == "image/png"
