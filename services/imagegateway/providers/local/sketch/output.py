"""Output of the sketch model: encoded files and partial images."""

from __future__ import annotations

import io
from typing import Final

from imagegateway.providers.local.sketch.brief import NAME
from PIL import Image, PngImagePlugin

_COMMENT: Final = "Drawn by the local/sketch development model"
_QUALITY: Final = 90


def partial_image(image: Image.Image, step: int, steps: int) -> Image.Image:
    """Return the partial image at a step: 1 is a blur of a few colours, `steps` nearly the image.

    Size and mode are the image's. Raises ValueError for a step outside 1 to `steps`.
    """
    if not 1 <= step <= steps:
        raise ValueError(f"step must be from 1 to {steps}, not {step}")
    longest = max(image.size)
    share = (step - 1) / max(1, steps - 1) if steps > 1 else 1.0
    coarse = min(9.0, longest / 2)
    cells = coarse * (longest * 0.55 / coarse) ** share
    small = (
        max(1, round(image.width * cells / longest)),
        max(1, round(image.height * cells / longest)),
    )
    return image.resize(small, Image.Resampling.BOX).resize(image.size, Image.Resampling.BICUBIC)


def encode(image: Image.Image, output_format: str, compression: int | None) -> bytes:
    """Encode an image as a `png`, `jpeg` or `webp` file. The bytes are reproducible.

    `compression` is the quality of jpeg and webp, 0 smallest to 100 best, 90 when None; lossless png ignores it.
    jpeg has no transparency and gets a white background. A png names the model in a text chunk. Raises ValueError
    for another format or a quality out of range.
    """
    quality = _QUALITY if compression is None else compression
    if not 0 <= quality <= 100:
        raise ValueError(f"compression must be from 0 to 100, not {compression}")
    plain = normalised(image)
    file = io.BytesIO()
    if output_format == "png":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text("Software", NAME)
        chunks.add_text("Comment", _COMMENT)
        # Grain hardly compresses: higher levels take several times as long for a few percent.
        plain.save(file, "PNG", pnginfo=chunks, compress_level=2)
    elif output_format == "jpeg":
        if plain.mode == "RGBA":
            white = Image.new("RGB", plain.size, (255, 255, 255))
            white.paste(plain, mask=plain.getchannel("A"))
            plain = white
        # Pillow reads 0 as the default.
        plain.save(file, "JPEG", quality=max(1, quality), subsampling=0 if quality >= 90 else 2)
    elif output_format == "webp":
        plain.save(file, "WEBP", quality=quality, method=2)
    else:
        raise ValueError(f"output format must be png, jpeg or webp, not {output_format!r}")
    return file.getvalue()


def normalised(image: Image.Image) -> Image.Image:
    """Return an image as RGB, or as RGBA if it has any transparency."""
    if image.mode in {"RGB", "RGBA"}:
        return image
    return image.convert("RGBA" if image.has_transparency_data else "RGB")
