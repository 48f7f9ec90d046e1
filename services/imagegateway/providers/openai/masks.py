"""Masks in OpenAI's form: transparent = edit."""

from __future__ import annotations

import io

from imagegateway.media.images import open_pixels
from PIL import Image, ImageChops


def transparent_where_white(mask: bytes) -> bytes:
    """Convert a greyscale PNG mask (white = edit) to an RGBA PNG with alpha 0 where white. Greys are kept.

    Source: OpenAI's OpenAPI document 2.3.0, `POST /images/edits`, read 2026-11-22.
    """
    grey = open_pixels(mask, "mask").convert("L")
    black = Image.new("L", grey.size)
    file = io.BytesIO()
    Image.merge("RGBA", (black, black, black, ImageChops.invert(grey))).save(file, "PNG")
    return file.getvalue()
