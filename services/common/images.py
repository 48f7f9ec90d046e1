"""Untrusted pictures: what they are, by content, and the few conversions the gateway makes.

Everything here is CPU work without I/O. `inspect` is cheap enough for an event loop; the functions that
decode pixels belong in a thread.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from imagegateway.v1.error_reason_pb2 import ErrorReason
from PIL import Image, ImageChops

from services.common.errors import GatewayError, invalid_image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_FILE_BYTES: Final = 26_214_400
"""Largest input file: 25 MiB."""
MAX_PIXELS: Final = 50_000_000
"""Most pixels of a picture: above every provider's limit (4K square is 17 million), 200 MB as decoded RGBA,
and below the size at which Pillow warns of a bomb."""
MAX_SIDE: Final = 16_384
"""Longest side, in pixels."""

_MAX_PARTS: Final = 65_536
"""Most chunks or segments of a file: nothing but empty ones would keep the walk busy for seconds."""

_PNG_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bit depths of each PNG colour type."""
_SOF: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_EOI: Final = re.compile(rb"\xff\xd9")
_DECODERS: Final = ("PNG", "JPEG", "WEBP")
_QUALITY: Final = 95
"""JPEG and WebP quality when the caller states none."""

_Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a picture's headers say."""

    media_type: str
    """`image/png`, `image/jpeg` or `image/webp`."""
    width: int
    """Pixels as stored: EXIF orientation is not applied."""
    height: int
    alpha: bool
    """Whether pixels can be transparent: an alpha channel, or PNG's tRNS."""


class _DamagedError(Exception):
    """A file breaks its format's rules; the text is a clause that tells where."""


def inspect(data: bytes | memoryview, param: str) -> Facts:
    """Read a PNG, JPEG or WebP's headers and walk its structure to the end, without decoding pixels.

    The type is told by content alone. Animations pass with the facts of their canvas; bytes after the end of
    the picture are ignored. Raises GatewayError INVALID_IMAGE naming `param` for anything else: another type,
    a truncated or damaged file, a side over 16,384 or an area over 50,000,000 pixels.
    """
    view = memoryview(data)
    if not view:
        raise invalid_image(param, f"{param} is empty.")
    media_type = _media_type(view)
    if media_type is None:
        raise invalid_image(param, f"{param} is not a PNG, JPEG or WebP picture.")
    kind = media_type.removeprefix("image/")
    try:
        (width, height), alpha = _WALKS[media_type](view)
    except struct.error:
        raise invalid_image(param, f"{param} is a truncated {kind} picture.") from None
    except _DamagedError as error:
        raise invalid_image(param, f"{param} is not a whole {kind} picture: {error}.") from None
    if not (width and height):
        raise invalid_image(param, f"{param} has no pixels.")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise invalid_image(
            param,
            f"{param} is {width}x{height} pixels; the limits are {MAX_SIDE} a side and {MAX_PIXELS} in all.",
        )
    return Facts(media_type, width, height, alpha)


def _media_type(view: memoryview) -> str | None:
    start = view[:12].tobytes()
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if start.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if start.startswith(b"RIFF") and start.endswith(b"WEBP"):
        return "image/webp"
    return None


def _png(view: memoryview) -> tuple[_Size, bool]:
    """Walk the chunks to IEND, checking each CRC. Raises struct.error at an early end."""
    width, height, depth, colour, compression, filtering, interlace = struct.unpack_from(">II5B", view, 16)
    if bytes(view[8:16]) != b"\x00\x00\x00\rIHDR":
        raise _DamagedError("its header is missing")
    if depth not in _PNG_DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise _DamagedError("its header is malformed")
    seen: set[bytes] = set()
    position = 8
    for _ in range(_MAX_PARTS):
        length, kind = struct.unpack_from(">I4s", view, position)
        (crc,) = struct.unpack_from(">I", view, position + 8 + length)
        if zlib.crc32(view[position + 4 : position + 8 + length]) != crc:
            raise _DamagedError("a checksum is wrong")
        # A second header would give the decoder another size than the one checked here.
        if kind == b"IHDR" and kind in seen:
            raise _DamagedError("it has two headers")
        seen.add(kind)
        position += 12 + length
        if kind == b"IEND":
            if b"IDAT" not in seen or (colour == 3 and b"PLTE" not in seen):
                raise _DamagedError("its pixels are missing")
            return (width, height), colour in (4, 6) or b"tRNS" in seen
    raise _DamagedError("it has too many chunks")


def _jpeg(view: memoryview) -> tuple[_Size, bool]:
    """Walk the segments to the first scan, then require an end marker. Raises struct.error at an early end.

    Segments are skipped by their length, so a thumbnail within one is never taken for the picture.
    """
    size: _Size | None = None
    position = 2
    for _ in range(_MAX_PARTS):
        prefix, marker = struct.unpack_from("BB", view, position)
        if prefix != 0xFF or marker in (0x00, 0xD8, 0xD9):
            raise _DamagedError("a marker is missing")
        if marker == 0xFF:  # padding before a marker
            position += 1
            continue
        position += 2
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            continue
        (length,) = struct.unpack_from(">H", view, position)
        if length < 2:
            raise _DamagedError("a segment's length is wrong")
        if marker in _SOF:
            if size is not None:
                raise _DamagedError("it has two frame headers")
            height, width = struct.unpack_from(">HH", view, position + 3)
            size = (width, height)
        position += length
        if marker == 0xDA:
            if size is None:
                raise _DamagedError("its frame header is missing")
            if view[-2:].tobytes() != b"\xff\xd9" and _EOI.search(view, position) is None:
                raise _DamagedError("its end marker is missing")
            return size, False
    raise _DamagedError("it has too many segments")


def _webp(view: memoryview) -> tuple[_Size, bool]:
    """Walk the chunks of the RIFF container. Raises struct.error at an early end."""
    end = 8 + int(struct.unpack_from("<I", view, 4)[0])
    if end > len(view):
        raise _DamagedError("it ends early")
    view = view[:end]
    canvas: _Size | None = None
    frame: _Size | None = None
    alpha = animated = False
    position = 12
    for count in range(_MAX_PARTS):
        # The last chunk's padding byte may be left off.
        if position >= end:
            break
        kind, length = struct.unpack_from("<4sI", view, position)
        body = position + 8
        if body + length > end:
            raise _DamagedError("it ends early")
        if kind == b"VP8X" and count == 0:
            flags, wide, high = struct.unpack_from("<I3s3s", view, body)
            canvas = (int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1)
            alpha = bool(flags & 0x10)
        elif kind == b"VP8 " and frame is None:
            frame = _vp8(view, body)
        elif kind == b"VP8L" and frame is None:
            frame, has_alpha = _vp8l(view, body)
            alpha = alpha or has_alpha
        elif kind in (b"VP8X", b"VP8 ", b"VP8L"):
            raise _DamagedError("it has two headers")
        animated = animated or kind == b"ANMF"
        alpha = alpha or kind == b"ALPH"
        position = body + length + (length & 1)
    else:
        raise _DamagedError("it has too many chunks")
    if canvas is None:
        canvas = frame
    if canvas is None or (frame is None and not animated):
        raise _DamagedError("its pixels are missing")
    if frame is not None and frame != canvas:
        raise _DamagedError("its headers state different sizes")
    return canvas, alpha


def _vp8(view: memoryview, body: int) -> _Size:
    tag, start, width, height = struct.unpack_from("<B2x3sHH", view, body)
    if tag & 1 or start != b"\x9d\x01\x2a":
        raise _DamagedError("its frame header is malformed")
    return width & 0x3FFF, height & 0x3FFF


def _vp8l(view: memoryview, body: int) -> tuple[_Size, bool]:
    signature, bits = struct.unpack_from("<BI", view, body)
    if signature != 0x2F or bits >> 29:
        raise _DamagedError("its frame header is malformed")
    return ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), bool(bits >> 28 & 1)


_WALKS: Final[Mapping[str, Callable[[memoryview], tuple[_Size, bool]]]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/webp": _webp,
}


def open_pixels(data: bytes, param: str) -> Image.Image:
    """Decode a picture, the first frame of an animation. 16-bit channels come as 8-bit ones.

    EXIF orientation is not applied: sizes, masks and pixels all mean the picture as stored.
    Raises GatewayError INVALID_IMAGE naming `param` when `inspect` refuses it or the decoder fails.
    """
    facts = inspect(data, param)
    try:
        return _decode(data, facts)
    except MemoryError:
        raise
    except Exception as error:  # damaged files make decoders raise nearly every kind
        raise invalid_image(param, f"{param} could not be decoded.") from error


def _decode(data: bytes, facts: Facts) -> Image.Image:
    image: Image.Image = Image.open(io.BytesIO(data), formats=_DECODERS)
    if image.size != (facts.width, facts.height):
        raise _DamagedError("the decoder reads another size")
    image.load()
    if facts.media_type == "image/png":
        image = _eight_bits(image, depth=data[24], colour=data[25])
    return image


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


def normalise_mask(data: bytes, facts: Facts, size: tuple[int, int], param: str) -> bytes:
    """A mask as 8-bit greyscale PNG of `size` (width, height) where white = edit, with greys kept.

    A mask that can be transparent is read by its transparency alone (transparent = edit), any other by its
    luminance (white = edit). `facts` are the mask's own. Raises GatewayError INVALID_IMAGE naming `param`
    when it can't be decoded or is not of `size`.
    """
    if (facts.width, facts.height) != size:
        raise invalid_image(
            param,
            f"{param} is {facts.width}x{facts.height} pixels, but the image is {size[0]}x{size[1]}; "
            "they must be equal.",
        )
    image = open_pixels(data, param)
    if facts.alpha:
        mask = ImageChops.invert(image.convert("RGBA").getchannel("A"))
    else:
        mask = image.convert("RGB").convert("L")
    file = io.BytesIO()
    mask.save(file, "PNG")
    return file.getvalue()


def stark_mask(mask: bytes, *, inverted: bool = False) -> bytes:
    """A mask of `normalise_mask` in pure black and white, for providers that take no greys; `inverted`: black = edit.

    Greys from 128 on count as edit.
    """
    with Image.open(io.BytesIO(mask), formats=("PNG",)) as image:
        edit, keep = (0, 255) if inverted else (255, 0)
        pixels = image.convert("L").point([keep] * 128 + [edit] * 128)
    file = io.BytesIO()
    pixels.save(file, "PNG")
    return file.getvalue()


def is_plain(mask: bytes) -> bool:
    """Whether a mask of `stark_mask` is of one colour: all to be edited, or nothing."""
    with Image.open(io.BytesIO(mask), formats=("PNG",)) as image:
        return len(image.getcolors(2) or ()) == 1


def shrink(data: bytes, side: int) -> bytes:
    """A picture as PNG, scaled down so that no side is longer than `side` pixels.

    Raises GatewayError INVALID_IMAGE when it can't be decoded.
    """
    image = open_pixels(data, "image")
    pixels = image.convert("RGBA" if image.has_transparency_data else "RGB")
    pixels.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    pixels.save(file, "PNG")
    return file.getvalue()


def convert(data: bytes, output_format: str, compression: int | None) -> bytes:
    """A provider's picture as `png`, `jpeg` or `webp`; JPEG gets a white ground where it was transparent.

    `compression` is the quality of JPEG and WebP, 0 to 100. Without it, a picture that has the format already
    is returned as it is. Colour profiles are kept, other metadata and further frames are not.
    Raises GatewayError PROVIDER_BAD_RESPONSE when the picture can't be decoded or does not fit the format.
    """
    try:
        facts = inspect(data, "image")
        if compression is None and facts.media_type == f"image/{output_format}":
            return data
        return _encode(_decode(data, facts), output_format, compression)
    except MemoryError:
        raise
    except Exception as error:
        raise GatewayError(
            ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE,
            f"The provider's picture could not be converted to {output_format}.",
        ) from error


def _encode(image: Image.Image, output_format: str, compression: int | None) -> bytes:
    # A profile describes the channels it came with: one for inks says nothing about RGB.
    profile = None if image.mode == "CMYK" else image.info.get("icc_profile")
    pixels = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if output_format == "jpeg" and pixels.mode == "RGBA":
        ground = Image.new("RGB", pixels.size, "white")
        ground.paste(pixels, mask=pixels.getchannel("A"))
        pixels = ground
    # Pillow takes a JPEG quality of 0 for "not stated".
    quality = _QUALITY if compression is None else max(compression, 1)
    file = io.BytesIO()
    pixels.save(file, output_format, quality=quality, icc_profile=profile)
    return file.getvalue()
