"""Inspection of untrusted images: every damaged file raises one GatewayError that names the field."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagegateway.media.images import (
    MAX_PIXELS,
    MAX_SIDE,
    RESULT_TYPES,
    ImageInfo,
    convert,
    downscale,
    inspect,
    normalise_mask,
    open_pixels,
)
from imagegateway.platform.errors import GatewayError
from imagegateway.providers.local import sketch
from PIL import Image, ImageCms

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZE = (23, 17)


def encode(mode: str, kind: str, size: tuple[int, int] = SIZE, **options: object) -> bytes:
    """Return an image of noise."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    image = Image.frombytes(mode, size, hashlib.shake_128(b"noise").digest(size[0] * size[1] * channels))
    return save(image, kind, **options)


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(size: tuple[int, int], depth: int, colour: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">II5B", *size, depth, colour, 0, 0, 0))


def png(size: tuple[int, int], depth: int, colour: int, rows: Sequence[bytes], extra: bytes = b"") -> bytes:
    """Return a handmade PNG; `extra` are chunks before the pixels."""
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return SIGNATURE + header(size, depth, colour) + extra + chunk(b"IDAT", pixels) + END


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a handmade WebP."""
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def label(value: object) -> str:
    """Return a test id: image parameters would spell out their bytes."""
    return "" if isinstance(value, bytes) else str(value)


SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = chunk(b"IEND", b"")
FRAMES = [Image.new("RGBA", SIZE, colour) for colour in ("red", "blue", "green")]
THUMBNAIL = b"Exif\0\0" + encode("RGB", "JPEG", (9, 9))


def with_thumbnail() -> bytes:
    """Return a JPEG whose first segment contains a complete JPEG."""
    data = encode("RGB", "JPEG")
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(THUMBNAIL) + 2) + THUMBNAIL + data[2:]


VALID = {
    "png rgb": (encode("RGB", "PNG"), "image/png", False),
    "png rgba": (encode("RGBA", "PNG"), "image/png", True),
    "png grey": (encode("L", "PNG"), "image/png", False),
    "png grey alpha": (encode("LA", "PNG"), "image/png", True),
    "png palette": (save(Image.effect_noise(SIZE, 50).convert("P"), "PNG"), "image/png", False),
    "png transparent colour": (encode("RGB", "PNG", transparency=(1, 2, 3)), "image/png", True),
    "png one bit": (save(Image.new("1", SIZE, 1), "PNG"), "image/png", False),
    "png 16 bit": (save(Image.new("I;16", SIZE, 40000), "PNG"), "image/png", False),
    "apng": (save(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]), "image/png", True),
    "png and trailing bytes": (encode("RGB", "PNG") + b"more", "image/png", False),
    "jpeg": (encode("RGB", "JPEG"), "image/jpeg", False),
    "jpeg grey": (encode("L", "JPEG"), "image/jpeg", False),
    "jpeg cmyk": (encode("CMYK", "JPEG"), "image/jpeg", False),
    "jpeg progressive": (encode("RGB", "JPEG", progressive=True), "image/jpeg", False),
    "jpeg restarts": (encode("RGB", "JPEG", restart_marker_blocks=1), "image/jpeg", False),
    "jpeg and trailing bytes": (encode("RGB", "JPEG") + b"more", "image/jpeg", False),
    "jpeg thumbnail": (with_thumbnail(), "image/jpeg", False),
    "jpeg fill bytes": (
        encode("RGB", "JPEG").replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1),
        "image/jpeg",
        False,
    ),
    "webp": (encode("RGB", "WEBP"), "image/webp", False),
    "webp alpha": (encode("RGBA", "WEBP"), "image/webp", True),
    "webp lossless": (encode("RGB", "WEBP", lossless=True), "image/webp", False),
    "webp lossless alpha": (encode("RGBA", "WEBP", lossless=True), "image/webp", True),
    "webp exif": (encode("RGB", "WEBP", exif=b"Exif\0\0odd"), "image/webp", False),
    "webp animated": (save(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]), "image/webp", False),
    "webp and trailing bytes": (encode("RGB", "WEBP") + b"more", "image/webp", False),
}


def refused(data: bytes) -> str:
    """Return the message of an INVALID_IMAGE error of `inspect`, or of the decoder after it."""
    with pytest.raises(GatewayError) as caught:
        open_pixels(data, "image[1]")
    assert caught.value.code == "invalid_image"
    assert caught.value.param == "image[1]"
    assert caught.value.message.startswith("image[1] ")
    return caught.value.message


@pytest.mark.parametrize("name", VALID)
def test_whole_images_pass(name: str) -> None:
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


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(sorted(VALID)), st.data())
def test_mutations_pass_or_are_refused(name: str, drawn: st.DataObject) -> None:
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


PIXEL = [b"\0\0\0"]


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


def test_a_webp_chunks_last_padding_may_be_missing() -> None:
    data = encode("RGB", "WEBP", (1, 1), lossless=True)
    (length,) = struct.unpack_from("<I", data, 16)
    body = data[20 : 20 + length] + (b"\0" if length % 2 == 0 else b"")
    odd = b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBPVP8L" + struct.pack("<I", len(body)) + body
    assert len(odd) % 2 == 1
    assert inspect(odd, "image") == ImageInfo("image/webp", 1, 1, alpha=False)


@pytest.mark.parametrize(
    "size", [(MAX_SIDE + 1, 1), (1, MAX_SIDE + 1), (MAX_SIDE, MAX_SIDE), (10_000, MAX_PIXELS // 10_000 + 1)]
)
def test_bombs_are_refused_before_decoding(size: tuple[int, int]) -> None:
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


def test_sixteen_bit_greys_keep_their_shades() -> None:
    data = png((3, 1), 16, 0, [struct.pack(">3H", 0, 0x8000, 0xFFFF)])
    assert open_pixels(data, "image").convert("RGB").tobytes() == bytes([0, 0, 0, 128, 128, 128, 255, 255, 255])


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
def test_converted_image_is_upright_and_says_so(output_format: str) -> None:
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


CLEAR_COLOURS = {
    "grey": png((2, 1), 8, 0, [b"\x20\x90"], chunk(b"tRNS", b"\0\x20")),
    "grey 16 bit": png((2, 1), 16, 0, [b"\x20\1\x90\0"], chunk(b"tRNS", b"\x20\1")),
    "rgb": png((2, 1), 8, 2, [b"\1\2\3\4\5\6"], chunk(b"tRNS", b"\0\1\0\2\0\3")),
    "rgb 16 bit": png((2, 1), 16, 2, [b"\1\0\2\0\3\0" + bytes(6)], chunk(b"tRNS", b"\1\0\2\0\3\0")),
    "palette": png((2, 1), 8, 3, [b"\0\1"], chunk(b"PLTE", bytes(6)) + chunk(b"tRNS", b"\0\xff")),
}


@pytest.mark.parametrize("name", CLEAR_COLOURS)
@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
def test_transparent_colour_becomes_alpha_in_every_conversion(name: str, output_format: str) -> None:
    data = CLEAR_COLOURS[name]
    pixels = open_pixels(data, "image")
    assert (pixels.mode, pixels.getchannel("A").tobytes()) == ("RGBA", b"\0\xff")
    made = convert(data, output_format, 90)
    assert inspect(made, "image").alpha is (output_format != "jpeg")
    assert inspect(downscale(data, 1), "image").alpha
    edited = sketch.edit(sketch.Brief("a fox", 64, 64, 7), [pixels], None)
    assert inspect(sketch.encode(edited, output_format, None), "image").width == 64


def mask_of(data: bytes, size: tuple[int, int]) -> bytes:
    """Return the grey values of a normalised mask."""
    made = normalise_mask(data, inspect(data, "mask"), size, "mask")
    assert inspect(made, "mask") == ImageInfo("image/png", *size, alpha=False)
    image = open_pixels(made, "mask")
    assert image.mode == "L"
    return image.tobytes()


def test_transparent_means_edit() -> None:
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
def test_transparent_colours_mean_edit_at_every_depth(data: bytes) -> None:
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
def test_white_means_edit_without_transparency(data: bytes) -> None:
    assert mask_of(data, (3, 1)) == b"\x00\x80\xff"


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_masks(mode: str) -> None:
    data = save(Image.new("RGB", (16, 16), "white").convert(mode), "JPEG")
    assert set(mask_of(data, (16, 16))) == {255}


def test_masks_of_another_size_are_refused() -> None:
    data = encode("L", "PNG")
    with pytest.raises(GatewayError) as caught:
        normalise_mask(data, inspect(data, "mask_url"), (64, 32), "mask_url")
    assert (caught.value.code, caught.value.param) == ("invalid_image", "mask_url")
    assert caught.value.message == ("mask_url is 23x17 pixels, but the image is 64x32; they must be equal.")


@pytest.mark.parametrize("name", VALID)
@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
def test_convert(name: str, output_format: str) -> None:
    data, media_type, _ = VALID[name]
    made = convert(data, output_format, None)
    facts = inspect(made, "image")
    assert (facts.media_type, facts.width, facts.height) == (f"image/{output_format}", *SIZE)
    assert (made == data) is (media_type == facts.media_type)


def test_convert_keeps_transparency_where_there_is_any() -> None:
    clear = save(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG")
    assert inspect(convert(clear, "webp", 80), "image").alpha
    assert set(open_pixels(convert(clear, "jpeg", 100), "image").tobytes()) == {255}


def test_convert_with_compression_encodes_again() -> None:
    data = encode("RGB", "JPEG", (64, 64), quality=95)
    sizes = [len(convert(data, "jpeg", quality)) for quality in (0, 50, 100)]
    assert sizes == sorted(set(sizes))


def test_convert_keeps_the_colour_profile() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encode("RGB", "PNG", icc_profile=profile)
    for output_format in ("jpeg", "webp"):
        assert open_pixels(convert(data, output_format, 90), "image").info["icc_profile"] == profile


@pytest.mark.parametrize("data", [b"", encode("RGB", "PNG")[:-20], png((1, 64), 8, 2, [b""])], ids=label)
def test_convert_blames_the_provider(data: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        convert(data, "jpeg", None)
    assert caught.value.code == "provider_bad_response"
