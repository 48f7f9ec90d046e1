"""Input images, masks and multipart forms that tests send."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import TYPE_CHECKING, Final

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_FILE: Final = 26_214_400
"""Largest accepted file in bytes: 25 MiB."""
BOUNDARY: Final = "----a-boundary-of-the-tests"
FORM: Final = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def image_bytes(width: int = 64, height: int = 64, kind: str = "PNG", colour: str = "#3a7ca5") -> bytes:
    """Return an encoded image of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, kind, compress_level=1)
    return file.getvalue()


def mask(width: int = 64, height: int = 64) -> bytes:
    """Return a mask whose left half is transparent: the editable area."""
    image = Image.new("RGBA", (width, height), "black")
    image.paste((0, 0, 0, 0), (0, 0, width // 2, height))
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def clear(width: int = 64, height: int = 64) -> bytes:
    """Return an RGB PNG of one colour, which its tRNS chunk declares transparent."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), "#3a7ca5").save(file, "PNG", transparency=(0x3A, 0x7C, 0xA5))
    return file.getvalue()


def turned(width: int = 64, height: int = 64) -> bytes:
    """Return a JPEG of `width` x `height` as displayed, stored rotated (EXIF orientation 6)."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.new("RGB", (height, width), "#3a7ca5").save(file, "JPEG", exif=exif)
    return file.getvalue()


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def padded(size: int) -> bytes:
    """Return a complete PNG of exactly `size` bytes, padded by a chunk that decoders skip."""
    small = image_bytes()
    head, end = small[:-12], small[-12:]
    filling = bytes(size - len(small) - 12)
    body = b"teST" + filling
    chunk = struct.pack(">I", len(filling)) + body + struct.pack(">I", zlib.crc32(body))
    return head + chunk + end


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header declares `width` x `height` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def pixels(data: bytes) -> Image.Image:
    """Return the image, fully decoded."""
    image: Image.Image = Image.open(io.BytesIO(data))
    image.load()
    return image


def file_part(name: str, data: bytes, filename: str = "a.png", content_type: str = "image/png") -> list[bytes]:
    """Return a file part of a form, in pieces that share the memory of `data`."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
        f"Content-Type: {content_type}\r\n\r\n"
    )
    return [head.encode(), data, b"\r\n"]


def text_part(name: str, text: str) -> list[bytes]:
    return [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()]


CLOSING: Final = f"--{BOUNDARY}--\r\n".encode()


def form(*parts: Iterable[bytes], **fields: str) -> bytes:
    """Return a complete multipart body."""
    texts = [piece for name, text in fields.items() for piece in text_part(name, text)]
    return b"".join([*texts, *(piece for part in parts for piece in part), CLOSING])
