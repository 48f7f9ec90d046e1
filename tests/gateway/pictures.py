"""Pictures and forms that tests send."""

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
"""Largest file that the contract lets pass: 25 MiB."""
BOUNDARY: Final = "----a-boundary-of-the-tests"
FORM: Final = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


def picture(width: int = 64, height: int = 64, kind: str = "PNG", colour: str = "#3a7ca5") -> bytes:
    """A picture of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, kind)
    return file.getvalue()


def mask(width: int = 64, height: int = 64) -> bytes:
    """A mask whose left half is transparent: to be edited."""
    image = Image.new("RGBA", (width, height), "black")
    image.paste((0, 0, 0, 0), (0, 0, width // 2, height))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def clear(width: int = 64, height: int = 64) -> bytes:
    """An RGB PNG of the one colour that it declares transparent (tRNS)."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), "#3a7ca5").save(file, "PNG", transparency=(0x3A, 0x7C, 0xA5))
    return file.getvalue()


def turned(width: int = 64, height: int = 64) -> bytes:
    """A JPEG that is `width` x `height` as shown, and lies on its side as stored (EXIF orientation 6)."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.new("RGB", (height, width), "#3a7ca5").save(file, "JPEG", exif=exif)
    return file.getvalue()


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def padded(size: int) -> bytes:
    """A whole PNG of exactly `size` bytes: a chunk that no reader knows makes it up."""
    small = picture()
    head, end = small[:-12], small[-12:]
    filling = bytes(size - len(small) - 12)
    body = b"teST" + filling
    chunk = struct.pack(">I", len(filling)) + body + struct.pack(">I", zlib.crc32(body))
    return head + chunk + end


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def pixels(data: bytes) -> Image.Image:
    """Decode, whole."""
    image: Image.Image = Image.open(io.BytesIO(data))
    image.load()
    return image


def file_part(name: str, data: bytes, filename: str = "a.png", content_type: str = "image/png") -> list[bytes]:
    """A file of a form, in pieces that share the picture's memory."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
        f"Content-Type: {content_type}\r\n\r\n"
    )
    return [head.encode(), data, b"\r\n"]


def text_part(name: str, text: str) -> list[bytes]:
    return [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()]


CLOSING: Final = f"--{BOUNDARY}--\r\n".encode()


def form(*parts: Iterable[bytes], **fields: str) -> bytes:
    """A whole multipart body."""
    texts = [piece for name, text in fields.items() for piece in text_part(name, text)]
    return b"".join([*texts, *(piece for part in parts for piece in part), CLOSING])
