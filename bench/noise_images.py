"""Images of a given size in bytes: noise, which encoders can't compress."""

from __future__ import annotations

import hashlib
from io import BytesIO

from PIL import Image


def noise(size: int) -> bytes:
    """Return a square PNG of about `size` bytes, identical at every call."""
    side = round((size / 3) ** 0.5)
    pixels = hashlib.shake_256(b"imagegateway bench").digest(side * side * 3)
    file = BytesIO()
    Image.frombytes("RGB", (side, side), pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()
