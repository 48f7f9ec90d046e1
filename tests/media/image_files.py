"""Image files for tests, encoded by Pillow or written chunk by chunk."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from typing import TYPE_CHECKING

import pytest
from imagegateway.media.images import (
    open_pixels,
)
from imagegateway.platform.errors import GatewayError
from PIL import Image

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


PIXEL = [b"\0\0\0"]
