"""What leaves the sketch model: files, and previews on the way to them."""

from __future__ import annotations

import io
from typing import Final

from imagegateway.providers.local.sketch.brief import NAME
from PIL import Image, PngImagePlugin

_COMMENT: Final = "Drawn by the local/sketch development model"
_QUALITY: Final = 90


def preview(picture: Image.Image, step: int, steps: int) -> Image.Image:
    """How a picture looked at a step of its making: 1 is a blur of a few colours, `steps` nearly the picture.

    Same size and mode. Raises ValueError for a step outside 1 to `steps`.
    """
    if not 1 <= step <= steps:
        raise ValueError(f"step must be from 1 to {steps}, not {step}")
    longest = max(picture.size)
    share = (step - 1) / max(1, steps - 1) if steps > 1 else 1.0
    coarse = min(9.0, longest / 2)
    cells = coarse * (longest * 0.55 / coarse) ** share
    small = (
        max(1, round(picture.width * cells / longest)),
        max(1, round(picture.height * cells / longest)),
    )
    return picture.resize(small, Image.Resampling.BOX).resize(picture.size, Image.Resampling.BICUBIC)


def encode(picture: Image.Image, output_format: str, compression: int | None) -> bytes:
    """A picture as a `png`, `jpeg` or `webp` file; the same bytes each time.

    `compression` is the quality of jpeg and webp, 0 smallest to 100 best, 90 when None; png, which loses
    nothing, ignores it. jpeg has no transparency and gets white behind it. A png says in a text chunk what drew
    it. Raises ValueError for another format or a quality out of range.
    """
    quality = _QUALITY if compression is None else compression
    if not 0 <= quality <= 100:
        raise ValueError(f"compression must be from 0 to 100, not {compression}")
    plain = normalised(picture)
    file = io.BytesIO()
    if output_format == "png":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text("Software", NAME)
        chunks.add_text("Comment", _COMMENT)
        # Grain hardly compresses: higher levels cost several times the time for a few percent.
        plain.save(file, "PNG", pnginfo=chunks, compress_level=2)
    elif output_format == "jpeg":
        if plain.mode == "RGBA":
            white = Image.new("RGB", plain.size, (255, 255, 255))
            white.paste(plain, mask=plain.getchannel("A"))
            plain = white
        # Pillow takes 0 for "not given".
        plain.save(file, "JPEG", quality=max(1, quality), subsampling=0 if quality >= 90 else 2)
    elif output_format == "webp":
        plain.save(file, "WEBP", quality=quality, method=2)
    else:
        raise ValueError(f"output format must be png, jpeg or webp, not {output_format!r}")
    return file.getvalue()


def normalised(picture: Image.Image) -> Image.Image:
    """A picture as RGB, or as RGBA when it has any transparency."""
    if picture.mode in {"RGB", "RGBA"}:
        return picture
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
