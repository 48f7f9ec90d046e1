"""Inspection and conversion of untrusted images.

All functions are CPU work without I/O. `inspect` is cheap enough for an event loop. Functions that decode pixels
belong in a thread.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.media import image_formats
from imagegateway.platform.errors import GatewayError, invalid_image
from imagegateway.v1.error_reason_pb2 import ErrorReason
from PIL import Image, ImageChops

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_FILE_BYTES: Final = 26_214_400
"""Largest input file: 25 MiB."""
MAX_PIXELS: Final = 50_000_000
"""Most pixels of an image: above every provider's limit (4K square is 17 million), 200 MB as decoded RGBA, and below
Pillow's warning about decompression bombs.
"""
MAX_SIDE: Final = 16_384
"""Longest side, in pixels."""

INPUT_TYPES: Final = ("image/png", "image/jpeg", "image/webp")
"""Media types of input images."""
RESULT_TYPES: Final = (*INPUT_TYPES, "image/gif")
"""Media types of providers' images."""
_DECODERS: Final = ("PNG", "JPEG", "WEBP", "GIF")
_QUALITY: Final = 95
"""Default quality of JPEG and WebP."""
_PREVIEWS: Final = ((1024, 85), (1024, 70), (768, 70), (512, 70), (256, 60))
"""Sides in pixels and qualities of previews, the best first."""
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transposition to upright pixels by EXIF orientation. Orientation 1 is upright as stored."""
_SIDEWAYS: Final = frozenset({5, 6, 7, 8})
"""EXIF orientations that swap width and height."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Properties of an image, from its headers."""

    media_type: str
    """`image/png`, `image/jpeg`, `image/webp` or `image/gif`, and of SVG results `image/svg+xml`."""
    width: int
    """Pixels as shown, with EXIF orientation applied."""
    height: int
    alpha: bool
    """Pixels can be transparent: an alpha channel, PNG's tRNS or GIF's transparent colour."""
    orientation: int = 1
    """EXIF orientation of the stored pixels, 1 to 8."""

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height of the pixels as stored."""
        return _turned((self.width, self.height), self.orientation)


def _turned(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return a size, with its sides swapped for a sideways EXIF orientation."""
    return (size[1], size[0]) if orientation in _SIDEWAYS else size


def inspect(data: bytes | memoryview, param: str, accept: Collection[str] = INPUT_TYPES) -> ImageInfo:
    """Return an image's properties after a walk through its whole structure, without decoding pixels.

    The content alone determines the type, which must be one of `accept` (media types). An animation has the
    properties of its canvas, and bytes after the image are ignored. Raises GatewayError INVALID_IMAGE naming `param`
    for another type, a truncated or damaged file, a side over 16,384 or an area over 50,000,000 pixels.
    """
    view = memoryview(data)
    if not view:
        raise invalid_image(param, f"{param} is empty.")
    media_type = image_formats.media_type(view)
    if media_type is None or media_type not in accept:
        raise invalid_image(param, f"{param} is not a PNG, JPEG or WebP image.")
    kind = media_type.removeprefix("image/")
    try:
        header = image_formats.walk(view, media_type)
    except struct.error:
        raise invalid_image(param, f"{param} is a truncated {kind} image.") from None
    except image_formats.DamagedError as error:
        raise invalid_image(param, f"{param} is not a whole {kind} image: {error}.") from None
    width, height = _turned(header.size, header.orientation)
    if not (width and height):
        raise invalid_image(param, f"{param} has no pixels.")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise invalid_image(
            param,
            f"{param} is {width}x{height} pixels; the limits are {MAX_SIDE} a side and {MAX_PIXELS} in all.",
        )
    return ImageInfo(media_type, width, height, header.alpha, header.orientation)


def open_pixels(data: bytes, param: str) -> Image.Image:
    """Decode an image as shown: the first frame of an animation, with EXIF orientation applied.

    16-bit channels become 8-bit channels, and a transparent colour becomes an alpha channel.
    Raises GatewayError INVALID_IMAGE naming `param` when `inspect` refuses the image or the decoder fails.
    """
    info = inspect(data, param)
    try:
        return _decode(data, info)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise nearly every exception for damaged files
        raise invalid_image(param, f"{param} could not be decoded.") from error


def _decode(data: bytes, info: ImageInfo) -> Image.Image:
    image: Image.Image = Image.open(io.BytesIO(data), formats=_DECODERS)
    if image.size != info.stored_size:
        raise image_formats.DamagedError("the decoder reads another size")
    image.load()
    if info.media_type == "image/png":
        image = _eight_bits(image, depth=data[24], colour=data[25])
    if "transparency" in image.info:
        # In another mode, the colour in the image's info is wrong: writers fail or make other pixels transparent.
        image = image.convert("RGBA")
    upright = _UPRIGHT.get(info.orientation)
    return image if upright is None else image.transpose(upright)


def _as_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image to a mode. Return an image of that mode itself: Pillow copies it."""
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image, depth: int, colour: int) -> Image.Image:
    """Convert a decoded PNG's pixels and its transparent colour to 8 bits."""
    clear = image.info.get("transparency")
    if image.mode == "I;16":
        # Pillow's conversion clips at 255, so nearly all pixels become white.
        image = image.point(lambda value: value / 256).convert("L")
    # Pillow keeps the transparent colour in the file's depth, where it matches no pixel or wrong ones.
    if colour == 0 and isinstance(clear, int):
        image.info["transparency"] = _eight_bit_sample(clear, depth)
    elif colour == 2 and isinstance(clear, tuple):
        image.info["transparency"] = tuple(_eight_bit_sample(sample, depth) for sample in clear)
    return image


def _eight_bit_sample(sample: int, depth: int) -> int:
    top = (1 << depth) - 1
    return sample >> 8 if depth == 16 else (sample & top) * 255 // top


def check_size(info: ImageInfo, size: tuple[int, int], param: str) -> None:
    """Raise GatewayError INVALID_IMAGE naming `param` unless an image is of `size` (width, height), as shown."""
    if (info.width, info.height) != size:
        raise invalid_image(
            param,
            f"{param} is {info.width}x{info.height} pixels, but the image is {size[0]}x{size[1]}; "
            "they must be equal.",
        )


def normalise_mask(data: bytes, info: ImageInfo, size: tuple[int, int], param: str) -> bytes:
    """Return a mask as 8-bit greyscale PNG of `size` (width, height), where white = edit. Greys remain.

    Of a mask with alpha, only the transparency counts (transparent = edit), otherwise the luminance (white = edit).
    `info` has the mask's properties. Raises GatewayError INVALID_IMAGE naming `param` for a mask that can't be
    decoded or has another size.
    """
    check_size(info, size, param)
    image = open_pixels(data, param)
    if info.alpha:
        mask = ImageChops.invert(_as_mode(image, "RGBA").getchannel("A"))
    else:
        mask = _as_mode(_as_mode(image, "RGB"), "L")
    del image  # frees as much memory as the following steps need
    file = io.BytesIO()
    mask.save(file, "PNG")
    return file.getvalue()


def binary_mask(mask: bytes, *, inverted: bool = False) -> bytes:
    """Return a mask from `normalise_mask` in black and white, for providers without greys.

    Greys from 128 on count as edit. `inverted`: black = edit.
    """
    with Image.open(io.BytesIO(mask), formats=("PNG",)) as image:
        edit, keep = (0, 255) if inverted else (255, 0)
        pixels = image.convert("L").point([keep] * 128 + [edit] * 128)
    file = io.BytesIO()
    pixels.save(file, "PNG")
    return file.getvalue()


def is_uniform(mask: bytes) -> bool:
    """Return True for a mask from `binary_mask` with one colour: it edits everything or nothing."""
    with Image.open(io.BytesIO(mask), formats=("PNG",)) as image:
        return len(image.getcolors(2) or ()) == 1


def downscale(data: bytes, side: int) -> bytes:
    """Return an image as PNG, scaled down to at most `side` pixels on each side.

    Raises GatewayError INVALID_IMAGE for an image that can't be decoded.
    """
    image = open_pixels(data, "image")
    pixels = _as_mode(image, "RGBA" if image.has_transparency_data else "RGB")
    pixels.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    pixels.save(file, "PNG")
    return file.getvalue()


def preview(data: bytes, max_bytes: int) -> bytes | None:
    """Return a provider's image as JPEG of at most `max_bytes`, on white and scaled down, or None if it can't be."""
    try:
        pixels = _opaque(_decode(data, inspect(data, "image", RESULT_TYPES)))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  decoders raise nearly every exception for damaged files
        return None
    for side, quality in _PREVIEWS:
        pixels.thumbnail((side, side), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        pixels.save(file, "jpeg", quality=quality)
        if file.tell() <= max_bytes:
            return file.getvalue()
    return None


def convert(data: bytes, output_format: str, compression: int | None) -> bytes:
    """Return a provider's image as `png`, `jpeg` or `webp`. JPEG gets a white background.

    `compression` is the quality of JPEG and WebP, 0 to 100. Without it, an image in this format is returned
    unchanged. Colour profiles remain, other metadata and further frames do not.
    Raises GatewayError PROVIDER_BAD_RESPONSE for an image that can't be decoded or encoded in the format.
    """
    try:
        info = inspect(data, "image", RESULT_TYPES)
        if compression is None and info.media_type == f"image/{output_format}":
            return data
        return _encode(_decode(data, info), output_format, compression)
    except MemoryError:
        raise
    except Exception as error:
        raise GatewayError(
            ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE,
            f"The provider's image could not be converted to {output_format}.",
        ) from error


def _encode(image: Image.Image, output_format: str, compression: int | None) -> bytes:
    # A profile describes the original channels: a profile of inks does not apply to RGB.
    profile = None if image.mode == "CMYK" else image.info.get("icc_profile")
    if output_format == "jpeg":
        pixels = _opaque(image)
    else:
        pixels = _as_mode(image, "RGBA" if image.has_transparency_data else "RGB")
    # Pillow interprets a JPEG quality of 0 as unset.
    quality = _QUALITY if compression is None else max(compression, 1)
    file = io.BytesIO()
    pixels.save(file, output_format, quality=quality, icc_profile=profile)
    return file.getvalue()


def _opaque(image: Image.Image) -> Image.Image:
    """Return an image as RGB on a white background."""
    if not image.has_transparency_data:
        return _as_mode(image, "RGB")
    pixels = _as_mode(image, "RGBA")
    background = Image.new("RGB", pixels.size, "white")
    background.paste(pixels, mask=pixels.getchannel("A"))
    return background
