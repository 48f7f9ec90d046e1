"""Untrusted images: what they are, by content, and the few conversions the gateway makes.

Everything here is CPU work without I/O. `inspect` is cheap enough for an event loop; the functions that
decode pixels belong in a thread.
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
"""Most pixels of a picture: above every provider's limit (4K square is 17 million), 200 MB as decoded RGBA,
and below the size at which Pillow warns of a bomb."""
MAX_SIDE: Final = 16_384
"""Longest side, in pixels."""

INPUT_TYPES: Final = ("image/png", "image/jpeg", "image/webp")
"""Media types that callers may send."""
RESULT_TYPES: Final = (*INPUT_TYPES, "image/gif")
"""Media types that providers may answer with."""
_DECODERS: Final = ("PNG", "JPEG", "WEBP", "GIF")
_QUALITY: Final = 95
"""JPEG and WebP quality when the caller states none."""
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings the pixels of each EXIF orientation upright; orientation 1 is upright as stored."""
_SIDEWAYS: Final = frozenset({5, 6, 7, 8})
"""EXIF orientations that swap width and height."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What an image's headers say."""

    media_type: str
    """`image/png`, `image/jpeg`, `image/webp` or `image/gif`; of other results `image/svg+xml` or `video/mp4`."""
    width: int
    """Pixels as shown: EXIF orientation is applied."""
    height: int
    alpha: bool
    """Whether pixels can be transparent: an alpha channel, PNG's tRNS or GIF's transparent colour."""
    orientation: int = 1
    """EXIF orientation of the stored pixels, 1 to 8."""

    @property
    def stored(self) -> tuple[int, int]:
        """Width and height of the pixels as stored."""
        return _turned((self.width, self.height), self.orientation)


def _turned(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return a size with its sides swapped where an EXIF orientation lies on its side."""
    return (size[1], size[0]) if orientation in _SIDEWAYS else size


def inspect(data: bytes | memoryview, param: str, accept: Collection[str] = INPUT_TYPES) -> ImageInfo:
    """Read an image's headers and walk its structure to the end, without decoding pixels.

    The type is told by content alone and must be one of `accept` (media types). Animations pass with the facts of
    their canvas; bytes after the end of the image are ignored. Raises GatewayError INVALID_IMAGE naming `param`
    for anything else: another type, a truncated or damaged file, a side over 16,384 or an area over 50,000,000
    pixels.
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
    """Decode an image as it is shown: the first frame of an animation, EXIF orientation applied.

    16-bit channels come as 8-bit ones, a transparent colour as an alpha channel.
    Raises GatewayError INVALID_IMAGE naming `param` when `inspect` refuses it or the decoder fails.
    """
    facts = inspect(data, param)
    try:
        return _decode(data, facts)
    except MemoryError:
        raise
    except Exception as error:  # damaged files make decoders raise nearly every kind
        raise invalid_image(param, f"{param} could not be decoded.") from error


def _decode(data: bytes, facts: ImageInfo) -> Image.Image:
    image: Image.Image = Image.open(io.BytesIO(data), formats=_DECODERS)
    if image.size != facts.stored:
        raise image_formats.DamagedError("the decoder reads another size")
    image.load()
    if facts.media_type == "image/png":
        image = _eight_bits(image, depth=data[24], colour=data[25])
    if "transparency" in image.info:
        # Left in the image's info, the colour would fit no other mode: writers fail or make other pixels clear.
        image = image.convert("RGBA")
    upright = _UPRIGHT.get(facts.orientation)
    return image if upright is None else image.transpose(upright)


def _as_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image; one of that mode is returned itself, where Pillow would copy it."""
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image, depth: int, colour: int) -> Image.Image:
    """Bring a decoded PNG's pixels and its transparent colour to the same 8 bits."""
    clear = image.info.get("transparency")
    if image.mode == "I;16":
        # Pillow's own conversion clips at 255, which turns nearly everything white.
        image = image.point(lambda value: value / 256).convert("L")
    # Pillow leaves the transparent colour in the file's depth, where it matches no pixel or the wrong ones.
    if colour == 0 and isinstance(clear, int):
        image.info["transparency"] = _eight_bit_sample(clear, depth)
    elif colour == 2 and isinstance(clear, tuple):
        image.info["transparency"] = tuple(_eight_bit_sample(sample, depth) for sample in clear)
    return image


def _eight_bit_sample(sample: int, depth: int) -> int:
    top = (1 << depth) - 1
    return sample >> 8 if depth == 16 else (sample & top) * 255 // top


def check_size(facts: ImageInfo, size: tuple[int, int], param: str) -> None:
    """Raise GatewayError INVALID_IMAGE naming `param` where an image is not of `size` (width, height), as shown."""
    if (facts.width, facts.height) != size:
        raise invalid_image(
            param,
            f"{param} is {facts.width}x{facts.height} pixels, but the image is {size[0]}x{size[1]}; "
            "they must be equal.",
        )


def normalise_mask(data: bytes, facts: ImageInfo, size: tuple[int, int], param: str) -> bytes:
    """A mask as 8-bit greyscale PNG of `size` (width, height) where white = edit, with greys kept.

    A mask that can be transparent is read by its transparency alone (transparent = edit), any other by its
    luminance (white = edit). `facts` are the mask's own. Raises GatewayError INVALID_IMAGE naming `param`
    when it can't be decoded or is not of `size`.
    """
    check_size(facts, size, param)
    image = open_pixels(data, param)
    if facts.alpha:
        mask = ImageChops.invert(_as_mode(image, "RGBA").getchannel("A"))
    else:
        mask = _as_mode(_as_mode(image, "RGB"), "L")
    del image  # as large as all that follows
    file = io.BytesIO()
    mask.save(file, "PNG")
    return file.getvalue()


def binary_mask(mask: bytes, *, inverted: bool = False) -> bytes:
    """A mask of `normalise_mask` in pure black and white, for providers that take no greys; `inverted`: black = edit.

    Greys from 128 on count as edit.
    """
    with Image.open(io.BytesIO(mask), formats=("PNG",)) as image:
        edit, keep = (0, 255) if inverted else (255, 0)
        pixels = image.convert("L").point([keep] * 128 + [edit] * 128)
    file = io.BytesIO()
    pixels.save(file, "PNG")
    return file.getvalue()


def is_uniform(mask: bytes) -> bool:
    """Whether a mask of `binary_mask` is of one colour: all to be edited, or nothing."""
    with Image.open(io.BytesIO(mask), formats=("PNG",)) as image:
        return len(image.getcolors(2) or ()) == 1


def downscale(data: bytes, side: int) -> bytes:
    """A picture as PNG, scaled down so that no side is longer than `side` pixels.

    Raises GatewayError INVALID_IMAGE when it can't be decoded.
    """
    image = open_pixels(data, "image")
    pixels = _as_mode(image, "RGBA" if image.has_transparency_data else "RGB")
    pixels.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    pixels.save(file, "PNG")
    return file.getvalue()


def convert(data: bytes, output_format: str, compression: int | None) -> bytes:
    """A provider's image as `png`, `jpeg` or `webp`; JPEG gets a white background where it was transparent.

    `compression` is the quality of JPEG and WebP, 0 to 100. Without it, an image that has the format already
    is returned as it is. Colour profiles are kept, other metadata and further frames are not.
    Raises GatewayError PROVIDER_BAD_RESPONSE when the image can't be decoded or does not fit the format.
    """
    try:
        facts = inspect(data, "image", RESULT_TYPES)
        if compression is None and facts.media_type == f"image/{output_format}":
            return data
        return _encode(_decode(data, facts), output_format, compression)
    except MemoryError:
        raise
    except Exception as error:
        raise GatewayError(
            ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE,
            f"The provider's image could not be converted to {output_format}.",
        ) from error


def _encode(image: Image.Image, output_format: str, compression: int | None) -> bytes:
    # A profile describes the channels it came with: one for inks says nothing about RGB.
    profile = None if image.mode == "CMYK" else image.info.get("icc_profile")
    pixels = _as_mode(image, "RGBA" if image.has_transparency_data else "RGB")
    if output_format == "jpeg" and pixels.mode == "RGBA":
        ground = Image.new("RGB", pixels.size, "white")
        ground.paste(pixels, mask=pixels.getchannel("A"))
        pixels = ground
    # Pillow takes a JPEG quality of 0 for "not stated".
    quality = _QUALITY if compression is None else max(compression, 1)
    file = io.BytesIO()
    pixels.save(file, output_format, quality=quality, icc_profile=profile)
    return file.getvalue()
