"""Image conversion: format, compression, transparency and colour profile."""

from __future__ import annotations

import struct

import pytest
from imagegateway.media.images import (
    convert,
    downscale,
    inspect,
    open_pixels,
)
from imagegateway.platform.errors import GatewayError
from imagegateway.providers.local import sketch
from PIL import Image, ImageCms

from tests.media.image_files import SIZE, VALID, chunk, encode, label, png, save


def test_sixteen_bit_greys_keep_their_shades() -> None:
    data = png((3, 1), 16, 0, [struct.pack(">3H", 0, 0x8000, 0xFFFF)])
    assert open_pixels(data, "image").convert("RGB").tobytes() == bytes([0, 0, 0, 128, 128, 128, 255, 255, 255])


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


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
def test_converted_image_has_the_requested_format_and_size(output_format: str) -> None:
    for name, (data, media_type, _) in VALID.items():
        made = convert(data, output_format, None)
        facts = inspect(made, "image")
        assert (facts.media_type, facts.width, facts.height) == (f"image/{output_format}", *SIZE), name
        assert (made == data) is (media_type == facts.media_type), name


def test_convert_keeps_transparency_if_the_format_allows() -> None:
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
def test_convert_of_a_damaged_result_is_a_provider_error(data: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        convert(data, "jpeg", None)
    assert caught.value.code == "provider_bad_response"
