"""The brief: parameters of a drawing, and the values that drawing derives from them first."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from imagegateway.providers.local.sketch import lettering
from imagegateway.providers.local.sketch.canvas import Canvas
from imagegateway.providers.local.sketch.reading import Reading, read

if TYPE_CHECKING:
    from imagegateway.providers.local.sketch.palette import Palette

NAME: Final = "local/sketch"
_DETAIL: Final = {"low": 1, "high": 3, "hd": 3}


@dataclass(frozen=True, slots=True)
class Brief:
    """Parameters of a drawing.

    Sizes are in pixels, meant for 64 to 2048; `seed` is 0 to 2**32 - 1. Any text is a valid prompt.
    """

    prompt: str
    width: int
    height: int
    seed: int
    negative_prompt: str = ""
    """Words to ignore in the prompt, whose meanings are also excluded from random choice."""
    style: str = ""
    """`vivid` saturates, `natural` mutes; anything else is in between."""
    quality: str = ""
    """`low` draws without antialiasing, `high` and `hd` with more of it; other values mean the default."""
    transparent: bool = False
    """Leave the sky, or another background, transparent."""


def begin(brief: Brief) -> tuple[Random, Reading, Palette]:
    """Return a brief's random generator, the reading of its prompt, and the palette in its style."""
    # Size, style and quality are not part of the generator's seed: they do not change the content of the image.
    essence = json.dumps([brief.prompt, brief.negative_prompt, brief.seed])
    rng = Random(int.from_bytes(hashlib.sha256(essence.encode()).digest()))  # noqa: S311 - repeats by design
    reading = read(brief.prompt, brief.negative_prompt, rng)
    palette = reading.palette
    if brief.style == "vivid":
        palette = palette.each(chroma=1.3)
    elif brief.style == "natural":
        palette = palette.each(chroma=0.66)
    return rng, reading, palette


def caption_of(brief: Brief) -> str:
    """Return the prompt in characters of the typeface; empty for an empty prompt."""
    caption = lettering.legible(brief.prompt)
    return caption if not caption or any(char.isalnum() for char in caption) else "Untitled"


def blank_canvas(brief: Brief, width: int, height: int, rng: Random) -> Canvas:
    """Return an empty canvas with the detail of the brief's quality."""
    detail = _DETAIL.get(brief.quality, 2)
    if detail > 1 and max(width, height) <= 320:
        detail += 1
    return Canvas(width, height, detail=detail, rng=rng)
