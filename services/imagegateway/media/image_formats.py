"""Structure of PNG, JPEG, WebP and GIF files: headers and all parts, without decoding pixels."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from zlib_ng import zlib_ng

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MAX_PARTS: Final = 65_536
"""Most chunks, segments or blocks of a file: a walk through millions of empty ones takes seconds."""

_PNG_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bit depths of each PNG colour type."""
_SOF: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_EOI: Final = re.compile(rb"\xff\xd9")
_EXIF: Final = b"Exif\0\0"
_ORIENTATION: Final = 0x0112
_SHORT: Final = 3

_Size: TypeAlias = tuple[int, int]


class DamagedError(Exception):
    """A file violates its format. The text is a clause about the violation."""


@dataclass(frozen=True, slots=True)
class Header:
    """Header of an image file."""

    size: _Size
    """Width and height in pixels, as stored."""
    alpha: bool
    """Pixels can be transparent: an alpha channel, PNG's tRNS or GIF's transparent colour."""
    orientation: int = 1
    """EXIF orientation, 1 to 8. Default, also for a malformed one: 1."""


def media_type(view: memoryview) -> str | None:
    """Return `image/png`, `image/jpeg`, `image/webp` or `image/gif` by content. None: another type."""
    start = view[:12].tobytes()
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if start.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if start.startswith(b"RIFF") and start.endswith(b"WEBP"):
        return "image/webp"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return None


def walk(view: memoryview, kind: str) -> Header:
    """Walk a file of a media type from `media_type` to its end, and return its header.

    Raises struct.error for a truncated file, DamagedError for other violations of the format.
    """
    return _WALKS[kind](view)


def _png(view: memoryview) -> Header:
    """Walk the chunks to IEND, checking each CRC. Raises struct.error at an early end."""
    width, height, depth, colour, compression, filtering, interlace = struct.unpack_from(">II5B", view, 16)
    if bytes(view[8:16]) != b"\x00\x00\x00\rIHDR":
        raise DamagedError("its header is missing")
    if depth not in _PNG_DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise DamagedError("its header is malformed")
    seen: set[bytes] = set()
    orientation = 1
    position = 8
    for _ in range(_MAX_PARTS):
        length, kind = struct.unpack_from(">I4s", view, position)
        (crc,) = struct.unpack_from(">I", view, position + 8 + length)
        if zlib_ng.crc32(view[position + 4 : position + 8 + length]) != crc:
            raise DamagedError("a checksum is wrong")
        # With a second header, the decoder may use another size than the checked one.
        if kind == b"IHDR" and kind in seen:
            raise DamagedError("it has two headers")
        if kind == b"eXIf":
            orientation = _orientation(view[position + 8 : position + 8 + length])
        seen.add(kind)
        position += 12 + length
        if kind == b"IEND":
            if b"IDAT" not in seen or (colour == 3 and b"PLTE" not in seen):
                raise DamagedError("its pixels are missing")
            return Header((width, height), colour in (4, 6) or b"tRNS" in seen, orientation)
    raise DamagedError("it has too many chunks")


def _jpeg(view: memoryview) -> Header:
    """Walk the segments to the first scan, then require an end marker. Raises struct.error at an early end.

    Segments are skipped by their length, so a thumbnail within a segment never counts as the image.
    """
    size: _Size | None = None
    orientation = 1
    position = 2
    for _ in range(_MAX_PARTS):
        prefix, marker = struct.unpack_from("BB", view, position)
        if prefix != 0xFF or marker in (0x00, 0xD8, 0xD9):
            raise DamagedError("a marker is missing")
        if marker == 0xFF:  # padding before a marker
            position += 1
            continue
        position += 2
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            continue
        (length,) = struct.unpack_from(">H", view, position)
        if length < 2:
            raise DamagedError("a segment's length is wrong")
        if marker in _SOF:
            if size is not None:
                raise DamagedError("it has two frame headers")
            height, width = struct.unpack_from(">HH", view, position + 3)
            size = (width, height)
        if marker == 0xE1 and view[position + 2 : position + 8].tobytes() == _EXIF:
            orientation = _orientation(view[position + 8 : position + length])
        position += length
        if marker == 0xDA:
            if size is None:
                raise DamagedError("its frame header is missing")
            if view[-2:].tobytes() != b"\xff\xd9" and _EOI.search(view, position) is None:
                raise DamagedError("its end marker is missing")
            return Header(size, alpha=False, orientation=orientation)
    raise DamagedError("it has too many segments")


def _webp(view: memoryview) -> Header:
    """Walk the chunks of the RIFF container. Raises struct.error at an early end."""
    end = 8 + int(struct.unpack_from("<I", view, 4)[0])
    if end > len(view):
        raise DamagedError("it ends early")
    view = view[:end]
    canvas: _Size | None = None
    frame: _Size | None = None
    alpha = animated = False
    orientation = 1
    position = 12
    for count in range(_MAX_PARTS):
        # The last chunk may lack its padding byte.
        if position >= end:
            break
        kind, length = struct.unpack_from("<4sI", view, position)
        body = position + 8
        if body + length > end:
            raise DamagedError("it ends early")
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
            raise DamagedError("it has two headers")
        elif kind == b"EXIF":
            exif = view[body : body + length]
            orientation = _orientation(exif[6:] if exif[:6].tobytes() == _EXIF else exif)
        animated = animated or kind == b"ANMF"
        alpha = alpha or kind == b"ALPH"
        position = body + length + (length & 1)
    else:
        raise DamagedError("it has too many chunks")
    canvas = canvas or frame
    if canvas is None or (frame is None and not animated):
        raise DamagedError("its pixels are missing")
    if frame is not None and frame != canvas:
        raise DamagedError("its headers state different sizes")
    return Header(canvas, alpha, orientation)


def _vp8(view: memoryview, body: int) -> _Size:
    tag, start, width, height = struct.unpack_from("<B2x3sHH", view, body)
    if tag & 1 or start != b"\x9d\x01\x2a":
        raise DamagedError("its frame header is malformed")
    return width & 0x3FFF, height & 0x3FFF


def _vp8l(view: memoryview, body: int) -> tuple[_Size, bool]:
    signature, bits = struct.unpack_from("<BI", view, body)
    if signature != 0x2F or bits >> 29:
        raise DamagedError("its frame header is malformed")
    return ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), bool(bits >> 28 & 1)


def _gif(view: memoryview) -> Header:
    """Walk the blocks to the trailer. Raises struct.error at an early end."""
    width, height, flags = struct.unpack_from("<HHB", view, 6)
    position = 13 + _colours(flags)
    alpha = drawn = False
    for _ in range(_MAX_PARTS):
        (kind,) = struct.unpack_from("B", view, position)
        if kind == 0x3B:
            if not drawn:
                raise DamagedError("its pixels are missing")
            return Header((width, height), alpha)
        if kind == 0x21:
            label, length, packed = struct.unpack_from("3B", view, position + 1)
            alpha = alpha or (label == 0xF9 and length == 4 and bool(packed & 1))
            position = _sub_blocks(view, position + 2)
        elif kind == 0x2C:
            (packed,) = struct.unpack_from("B", view, position + 9)
            position = _sub_blocks(view, position + 11 + _colours(packed))
            drawn = True
        else:
            raise DamagedError("a block is malformed")
    raise DamagedError("it has too many blocks")


def _colours(flags: int) -> int:
    """Return the length in bytes of the colour table by a GIF's flags."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _sub_blocks(view: memoryview, position: int) -> int:
    """Return the position after a GIF's sub-blocks. Raises struct.error at an early end."""
    length = 1
    while length:
        (length,) = struct.unpack_from("B", view, position)
        position += 1 + length
    return position


def _orientation(tiff: memoryview) -> int:
    """Return the orientation, 1 to 8, in EXIF data (a TIFF header and its directories). Default: 1."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2].tobytes())
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
            if tag == _ORIENTATION:
                return value if kind == _SHORT and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


_WALKS: Final[Mapping[str, Callable[[memoryview], Header]]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/webp": _webp,
    "image/gif": _gif,
}
