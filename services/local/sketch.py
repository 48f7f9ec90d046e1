"""The development model `local/sketch`: draws a small poster from the words of a prompt, on this machine.

It's no neural network and doesn't pretend to be one: a word list picks a scene, a palette and things to put in
it, the rest is left to a generator that the prompt and the seed start, and the prompt is set under the picture
together with the model's name. Everything here is a pure function: the same arguments give the same bytes, in
every process, and nothing is read, kept or timed.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from dataclasses import dataclass
from random import Random
from typing import Final, TYPE_CHECKING

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps, PngImagePlugin

from services.local import lettering, scenes
from services.local.canvas import Canvas, grain
from services.local.lettering import Block
from services.local.palette import Colour, Palette, adjust, at_lightness, mix, ramp
from services.local.reading import Reading, read

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME: Final = "local/sketch"
_COMMENT: Final = "Drawn by the local/sketch development model"
_DETAIL: Final = {"low": 1, "high": 3, "hd": 3}
_QUALITY: Final = 90

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Brief:
    """What to draw.

    Sizes are in pixels, meant for 64 to 2048; `seed` is 0 to 2**32 - 1. Any text is a valid prompt.
    """

    prompt: str
    width: int
    height: int
    seed: int
    negative_prompt: str = ""
    """Its words count for nothing in the prompt, and what they mean isn't picked by chance."""
    style: str = ""
    """`vivid` saturates, `natural` mutes; anything else is in between."""
    quality: str = ""
    """`low` draws without antialiasing, `high` and `hd` with more of it; anything else is the usual."""
    transparent: bool = False
    """Leave sky, or whatever else is the background, clear."""


def draw(brief: Brief) -> Image.Image:
    """Draw a brief: RGB, or RGBA when it's to be transparent, of exactly the brief's size."""
    rng, reading, palette = _begin(brief)
    caption = _caption(brief)
    layout = _layout(brief.width, brief.height, caption)
    left, top, right, bottom = layout.art
    canvas = _canvas(brief, right - left, bottom - top, rng)
    scenes.paint(canvas, reading, palette, rng)
    if layout.whole:
        if brief.transparent:
            canvas.picture.putalpha(canvas.coverage)
        return canvas.picture
    picture = Image.new("RGB", (brief.width, brief.height), palette.paper)
    picture.paste(canvas.picture, (left, top))
    _letter(picture, layout, brief, palette)
    if not brief.transparent:
        return picture
    alpha = Image.new("L", picture.size)
    alpha.paste(canvas.coverage, (left, top))
    if layout.caption.lines:
        pen = ImageDraw.Draw(alpha)
        pen.rectangle((layout.label[0], layout.label[1], layout.label[2] - 1, layout.label[3] - 1), fill=255)
    picture.putalpha(alpha)
    return picture


def edit(brief: Brief, inputs: Sequence[Image.Image], mask: Image.Image | None) -> Image.Image:
    """Repaint the first input; further inputs are pinned on as small prints.

    Without a mask the composition stays, in the inks of the prompt, with the prompt on a card: RGB, or RGBA when
    the brief is transparent (the first input's alpha stays then).

    With a mask ("L", white: edit) the prompt's scene is painted into the masked part: pixels where the mask is 0
    are those of the first input, greys blend. The mode is the first input's, RGB or RGBA.

    The result has the brief's size; an input or a mask of another size is resized to it first. Raises ValueError
    without inputs.
    """
    if not inputs:
        raise ValueError("an edit needs at least one input")
    size = (brief.width, brief.height)
    pictures = [_plain(picture) for picture in inputs]
    first = _fitted(pictures[0], size)
    rng, reading, palette = _begin(brief)
    if mask is not None:
        return _fill_in(brief, first, pictures[1:], mask, rng, reading, palette)
    picture = _repaint(first.convert("RGB"), palette, rng)
    card = _card(brief, (0, 0, *size), palette)
    canvas = _canvas(brief, *size, rng)
    canvas.picture = picture
    scenes.furnish(canvas, reading, palette, rng, size[1] * 0.94 if card is None else card[1][1] - size[1] * 0.02)
    _pin(picture, pictures[1:], (0, 0, *size), palette, rng)
    if card is not None:
        picture.paste(card[0], card[1])
    if brief.transparent:
        alpha = first.getchannel("A") if first.mode == "RGBA" else Image.new("L", size, 255)
        if card is not None:
            alpha.paste(255, (*card[1], card[1][0] + card[0].width, card[1][1] + card[0].height))
        picture.putalpha(alpha)
    return picture


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
    plain = _plain(picture)
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


def _begin(brief: Brief) -> tuple[Random, Reading, Palette]:
    """The generator that a brief starts, what its words ask for, and the inks in its style."""
    # Size, style and quality stay out: they change how the picture is drawn, not what is in it.
    essence = json.dumps([brief.prompt, brief.negative_prompt, brief.seed])
    rng = Random(int.from_bytes(hashlib.sha256(essence.encode()).digest()))  # noqa: S311 - must repeat, keeps no secret
    reading = read(brief.prompt, brief.negative_prompt, rng)
    palette = reading.palette
    if brief.style == "vivid":
        palette = palette.each(chroma=1.3)
    elif brief.style == "natural":
        palette = palette.each(chroma=0.66)
    return rng, reading, palette


def _caption(brief: Brief) -> str:
    """The prompt as far as the typeface can set it; nothing for an empty prompt."""
    caption = lettering.legible(brief.prompt)
    return caption if not caption or any(char.isalnum() for char in caption) else "Untitled"


def _canvas(brief: Brief, width: int, height: int, rng: Random) -> Canvas:
    detail = _DETAIL.get(brief.quality, 2)
    if detail > 1 and max(width, height) <= 320:
        detail += 1
    return Canvas(width, height, detail=detail, rng=rng)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where picture and caption go on the print."""

    art: Box
    label: Box
    """The part of the paper that carries the caption."""
    caption: Block
    origin: tuple[int, int]
    """Upper left corner of the caption."""
    colophon: int
    """Size of the line that names the model; 0 where it has no room."""
    whole: bool
    """The picture fills the print, and there is no caption."""


def _layout(width: int, height: int, caption: str) -> _Layout:
    short = min(width, height)
    full = _Layout((0, 0, width, height), (0, 0, 0, 0), Block((), 1), (0, 0), 0, whole=True)
    margin = max(4, round(short * 0.045))
    colophon = max(lettering.SMALLEST, round(short * 0.0135)) if short >= 300 else 0
    if width > height * 2.2:
        panel = round(min(width * 0.34, max(height * 1.2, 150)))
        block = lettering.fit(
            caption,
            panel - margin * 2,
            height - margin * 2.4 - colophon * 2.5,
            max(13, short * 0.085),
            smallest=short * 0.03,
        )
        if not block.lines:
            return full
        art = (margin, margin, width - panel, height - margin)
        label = (width - panel, 0, width, height)
        top = max(margin, round((height - block.height - colophon * 2.5) / 2))
        return _Layout(art, label, block, (width - panel + margin, top), colophon, whole=False)
    room = max(height * 0.24, min(height * 0.34, short * 0.3))
    block = lettering.fit(
        caption,
        width - margin * 2,
        room,
        max(11, min(short * 0.056, width * 0.05)),
        smallest=short * 0.021,
    )
    if not block.lines or short < 90:
        return full
    gap = max(6, round(margin * 0.85))
    band = gap + block.height + (round(colophon * 2.1) if colophon else 0) + max(round(margin * 0.95), 6)
    art = (margin, margin, width - margin, height - band)
    if art[3] - art[1] < height * 0.4:
        return full
    return _Layout(
        art, (0, height - band, width, height), block, (margin, height - band + gap), colophon, whole=False
    )


def _letter(picture: Image.Image, layout: _Layout, brief: Brief, palette: Palette) -> None:
    """Set caption and colophon on the paper."""
    left, top = layout.origin
    layout.caption.draw(picture, left, top, palette.ink)
    if layout.colophon:
        _colophon(picture, brief, palette, left, top + layout.caption.height + round(layout.colophon * 2.1), layout)


def _colophon(
    picture: Image.Image, brief: Brief, palette: Palette, left: int, baseline: int, layout: _Layout
) -> None:
    quiet = mix(palette.ink, palette.paper, 0.38)
    right = layout.label[2] - layout.art[0]
    name_width, name = lettering.spaced(NAME, layout.colophon)
    seed_width, seed = lettering.spaced(f"No. {brief.seed}", layout.colophon)
    name(picture, left, baseline, quiet)
    if name_width + seed_width + layout.colophon * 2 < right - left:
        seed(picture, right - seed_width, baseline, quiet)


def _plain(picture: Image.Image) -> Image.Image:
    """A picture as RGB, or as RGBA when it has any transparency."""
    if picture.mode in {"RGB", "RGBA"}:
        return picture
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _fitted(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A picture of a size: cut to its proportions around the middle, then resized."""
    if picture.size == size:
        return picture
    return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)


def _inked(light: Image.Image, inks: Sequence[Colour]) -> Image.Image:
    """An "L" picture in inks, darkest first."""
    table = ramp(inks, 256)
    return Image.merge("RGB", [light.point([ink[channel] for ink in table]) for channel in range(3)])


def _repaint(picture: Image.Image, palette: Palette, rng: Random) -> Image.Image:
    """The same composition in flat areas of a palette's inks, with grain."""
    size = picture.size
    # Large pictures are simplified at half the size: a median costs the square of its width.
    half = picture.reduce(2) if max(size) > 700 else picture
    if min(half.size) >= 24:
        half = half.filter(ImageFilter.MedianFilter(5))
    light = ImageOps.autocontrast(half.convert("L"), cutoff=1)
    # Steps with soft flanks: flat areas as in a print, edges without stairs.
    levels = 6
    steps = []
    for level in range(256):
        place = level / 255 * levels
        whole = math.floor(place)
        flank = min(1.0, max(0.0, (place - whole - 0.5) * 4 + 0.5))
        steps.append(round(255 * ((whole + flank) / levels * 0.72 + level / 255 * 0.28)))
    flat = light.resize(size, Image.Resampling.BICUBIC).point([min(255, step) for step in steps])
    deep = at_lightness(palette.near, 0.2)
    bright = at_lightness(mix(palette.light, palette.horizon, 0.25), 0.96)
    middle = [
        at_lightness(palette.far, 0.55),
        at_lightness(palette.sky, 0.7),
        at_lightness(palette.horizon, 0.84),
    ]
    inked = _inked(flat, [deep, at_lightness(mix(palette.near, palette.zenith, 0.5), 0.37), *middle, bright])
    inked = Image.blend(inked, half.resize(size, Image.Resampling.BICUBIC), 0.2)
    if min(light.size) >= 24:
        lines = light.filter(ImageFilter.FIND_EDGES).point([max(0, level - 40) * 2 // 3 for level in range(256)])
        # The filter copies the outermost pixels as they are, which would draw a frame.
        lines = ImageOps.expand(ImageOps.crop(lines, 1), 1, 0)
        inked.paste(deep, (0, 0), lines.resize(size, Image.Resampling.BICUBIC))
    noise = grain(size, rng, max(1, round(max(size) / 1100)))
    soft = noise.point([128 + round((level - 127.5) / 127.5 * 11) for level in range(256)])
    return ImageChops.add(inked, Image.merge("RGB", (soft, soft, soft)), 1.0, -128)


def _fill_in(
    brief: Brief,
    first: Image.Image,
    others: Sequence[Image.Image],
    mask: Image.Image,
    rng: Random,
    reading: Reading,
    palette: Palette,
) -> Image.Image:
    size = first.size
    stencil = mask.convert("L")
    if stencil.size != size:
        stencil = ImageOps.fit(stencil, size, Image.Resampling.BILINEAR)
    area = stencil.getbbox()
    if area is None:
        return first.copy()
    canvas = _canvas(brief, area[2] - area[0], area[3] - area[1], rng)
    scenes.paint(canvas, reading, palette, rng)
    layer = first.convert("RGB")
    layer.paste(canvas.picture, area[:2])
    _pin(layer, others, area, palette, rng)
    card = _card(brief, _clearing(stencil, area), palette)
    if card is not None:
        layer.paste(card[0], card[1])
    if first.mode == "RGBA":
        layer.putalpha(255)
    return Image.composite(layer, first, stencil)


def _clearing(stencil: Image.Image, area: Box) -> Box:
    """The widest, lowest part of a mask's area that is white all over, else the area."""
    left, top, right, bottom = area
    width, height = right - left, bottom - top
    for share in (1.0, 0.85, 0.7, 0.55, 0.4):
        half, tall = round(width * share / 2), round(height * min(share, 0.6))
        middle = (left + right) // 2
        for rise in (0.0, 0.15, 0.3, 0.45, 0.6):
            low = bottom - round(height * rise)
            spot = (max(left, middle - half), max(top, low - tall), min(right, middle + half), low)
            if spot[2] <= spot[0] or spot[3] <= spot[1]:
                continue
            darkest = stencil.crop(spot).getextrema()[0]
            if isinstance(darkest, int) and darkest > 200:
                return spot
    return area


def _card(brief: Brief, area: Box, palette: Palette) -> tuple[Image.Image, tuple[int, int]] | None:
    """The prompt on a small card, and where it goes at the lower left of an area; None where nothing fits."""
    width, height = area[2] - area[0], area[3] - area[1]
    short = min(width, height)
    margin = max(4, round(short * 0.04))
    inset = max(5, round(short * 0.03))
    block = lettering.fit(
        _caption(brief),
        min(width - 2 * (margin + inset), max(width * 0.62, 120)),
        height * 0.3,
        max(11, short * 0.046),
        smallest=short * 0.021,
    )
    if not block.lines:
        return None
    colophon = max(lettering.SMALLEST, round(short * 0.013)) if short >= 300 else 0
    name_width, name = lettering.spaced(NAME, colophon or lettering.SMALLEST)
    inner = max(block.width, name_width if colophon else 0)
    tall = block.height + 2 * inset + (round(colophon * 2.1) if colophon else 0)
    card = Image.new("RGB", (min(width, inner + 2 * inset), min(height, tall)), palette.paper)
    block.draw(card, inset, inset, palette.ink)
    if colophon:
        baseline = inset + block.height + round(colophon * 2.1)
        name(card, inset, baseline, mix(palette.ink, palette.paper, 0.38))
    return card, (
        area[0] + min(margin, width - card.width),
        area[3] - min(margin, height - card.height) - card.height,
    )


def _pin(picture: Image.Image, prints: Sequence[Image.Image], area: Box, palette: Palette, rng: Random) -> None:
    """Lay small white-bordered prints along the top of an area, each a little askew."""
    if not prints:
        return
    width, height = area[2] - area[0], area[3] - area[1]
    side = round(min(min(width, height) * 0.3, width * 0.9 / len(prints)))
    if side < 12:
        return
    border = max(1, side // 16)
    for index, source in enumerate(reversed(prints)):
        inner = side - 2 * border
        scaled = ImageOps.contain(source.convert("RGBA"), (inner, inner), Image.Resampling.LANCZOS)
        sheet = Image.new("RGBA", (scaled.width + 2 * border, scaled.height + 2 * border), (252, 250, 245, 255))
        sheet.alpha_composite(scaled, (border, border))
        sheet = sheet.rotate(rng.uniform(-5, 5), Image.Resampling.BICUBIC, expand=True)
        left = area[2] - round((index + 1) * side * 1.06) - round(side * 0.08)
        top = area[1] + round(side * 0.16)
        left = max(area[0], left)
        shade = sheet.getchannel("A").filter(ImageFilter.GaussianBlur(max(1.0, side * 0.03)))
        dark = adjust(palette.near, light=-0.1)
        offset = max(1, side // 40)
        picture.paste(dark, (left + offset, top + 2 * offset), shade.point([level * 2 // 5 for level in range(256)]))
        picture.paste(sheet, (left, top), sheet)
