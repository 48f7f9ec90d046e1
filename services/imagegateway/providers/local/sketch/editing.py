"""Image to image: repaint the whole first input, or paint into its masked part."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imagegateway.providers.local.sketch import lettering, scenes
from imagegateway.providers.local.sketch.brief import NAME, Brief, begin, blank_canvas, caption_of
from imagegateway.providers.local.sketch.canvas import grain
from imagegateway.providers.local.sketch.output import normalised
from imagegateway.providers.local.sketch.palette import Colour, Palette, adjust, at_lightness, mix, ramp
from PIL import Image, ImageChops, ImageFilter, ImageOps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from imagegateway.providers.local.sketch.canvas import Box
    from imagegateway.providers.local.sketch.reading import Reading


def edit(brief: Brief, inputs: Sequence[Image.Image], mask: Image.Image | None) -> Image.Image:
    """Repaint the first input, and pin further inputs on it as small prints.

    Without a mask the composition stays, in the palette of the prompt, with the things that the prompt names and the
    prompt on a card: RGB, or RGBA for a transparent brief (with the first input's alpha).

    With a mask ("L", white: edit) the prompt's scene is painted into the masked part: where the mask is 0 the pixels
    of the first input stay, greys blend. The mode is the first input's, RGB or RGBA.

    The result has the brief's size; an input or a mask of another size is first cropped to its proportions around the
    middle and resized. Raises ValueError without inputs.
    """
    if not inputs:
        raise ValueError("an edit needs at least one input")
    size = (brief.width, brief.height)
    images = [normalised(image) for image in inputs]
    first = _fitted(images[0], size)
    rng, reading, palette = begin(brief)
    if mask is not None:
        return _fill_in(brief, first, images[1:], mask, rng=rng, reading=reading, palette=palette)
    image = _repaint(first.convert("RGB"), palette, rng)
    card = _card(brief, (0, 0, *size), palette)
    canvas = blank_canvas(brief, *size, rng)
    canvas.image = image
    scenes.furnish(canvas, reading, palette, rng, size[1] * 0.94 if card is None else card[1][1] - size[1] * 0.02)
    _pin(image, images[1:], (0, 0, *size), palette, rng)
    if card is not None:
        image.paste(card[0], card[1])
    if brief.transparent:
        alpha = first.getchannel("A") if first.mode == "RGBA" else Image.new("L", size, 255)
        if card is not None:
            alpha.paste(255, (*card[1], card[1][0] + card[0].width, card[1][1] + card[0].height))
        image.putalpha(alpha)
    return image


def _fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return an image of this size: cropped to its proportions around the middle, then resized."""
    if image.size == size:
        return image
    return ImageOps.fit(image, size, Image.Resampling.LANCZOS)


def _inked(light: Image.Image, inks: Sequence[Colour]) -> Image.Image:
    """Return an "L" image in inks, darkest first."""
    table = ramp(inks, 256)
    return Image.merge("RGB", [light.point([ink[channel] for ink in table]) for channel in range(3)])


def _repaint(image: Image.Image, palette: Palette, rng: Random) -> Image.Image:
    """Return the same composition in flat areas of a palette's inks, with grain."""
    size = image.size
    # Large images are simplified at half the size: a median costs the square of its width.
    half = image.reduce(2) if max(size) > 700 else image
    if min(half.size) >= 24:
        half = half.filter(ImageFilter.MedianFilter(5))
    light = ImageOps.autocontrast(half.convert("L"), cutoff=1)
    # Steps with soft flanks: flat areas as in a print, without jagged edges.
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
        # The filter copies the outermost pixels unchanged, which would draw a frame.
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
    *,
    rng: Random,
    reading: Reading,
    palette: Palette,
) -> Image.Image:
    """Return the first input with the prompt's scene painted into the masked part."""
    size = first.size
    stencil = mask.convert("L")
    if stencil.size != size:
        stencil = ImageOps.fit(stencil, size, Image.Resampling.BILINEAR)
    area = stencil.getbbox()
    if area is None:
        return first.copy()
    canvas = blank_canvas(brief, area[2] - area[0], area[3] - area[1], rng)
    scenes.paint(canvas, reading, palette, rng)
    layer = first.convert("RGB")
    layer.paste(canvas.image, area[:2])
    _pin(layer, others, area, palette, rng)
    card = _card(brief, _clearing(stencil, area), palette)
    if card is not None:
        layer.paste(card[0], card[1])
    if first.mode == "RGBA":
        layer.putalpha(255)
    return Image.composite(layer, first, stencil)


def _clearing(stencil: Image.Image, area: Box) -> Box:
    """Return the widest, lowest part of a mask's area that is entirely white, else the area."""
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
            if not any(stencil.crop(spot).histogram()[:200]):
                return spot
    return area


def _card(brief: Brief, area: Box, palette: Palette) -> tuple[Image.Image, tuple[int, int]] | None:
    """Return a small card with the prompt and its position at the lower left of an area; None without room for it."""
    width, height = area[2] - area[0], area[3] - area[1]
    short = min(width, height)
    margin = max(4, round(short * 0.04))
    inset = max(5, round(short * 0.03))
    block = lettering.fit(
        caption_of(brief),
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
    tall = block.height + 2 * inset + (round(colophon * 2.6) if colophon else 0)
    card = Image.new("RGB", (min(width, inner + 2 * inset), min(height, tall)), palette.paper)
    block.draw(card, inset, inset, palette.ink)
    if colophon:
        baseline = inset + block.height + round(colophon * 2.6)
        name(card, inset, baseline, mix(palette.ink, palette.paper, 0.38))
    return card, (
        area[0] + min(margin, width - card.width),
        area[3] - min(margin, height - card.height) - card.height,
    )


def _pin(image: Image.Image, prints: Sequence[Image.Image], area: Box, palette: Palette, rng: Random) -> None:
    """Place small white-bordered prints along the top of an area, each slightly rotated."""
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
        image.paste(dark, (left + offset, top + 2 * offset), shade.point([level * 2 // 5 for level in range(256)]))
        image.paste(sheet, (left, top), sheet)
