"""Text to image: the painted scene on paper, with its caption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegateway.providers.local.sketch import lettering, scenes
from imagegateway.providers.local.sketch.brief import NAME, Brief, begin, blank_canvas, caption_of
from imagegateway.providers.local.sketch.lettering import Block
from imagegateway.providers.local.sketch.palette import Palette, mix
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from imagegateway.providers.local.sketch.canvas import Box


@dataclass(frozen=True, slots=True)
class _Layout:
    """Positions of scene and caption on the print."""

    art: Box
    label: Box
    """Part of the paper that holds the caption."""
    caption: Block
    origin: tuple[int, int]
    """Upper left corner of the caption."""
    colophon: int
    """Size of the line that names the model; 0 where the print has no room for it."""
    whole: bool
    """True if the scene fills the print, without a caption."""


def draw(brief: Brief) -> Image.Image:
    """Draw a brief. Return an image of the brief's size: RGB, or RGBA for a transparent brief."""
    rng, reading, palette = begin(brief)
    caption = caption_of(brief)
    layout = _layout(brief.width, brief.height, caption)
    left, top, right, bottom = layout.art
    canvas = blank_canvas(brief, right - left, bottom - top, rng)
    scenes.paint(canvas, reading, palette, rng)
    if layout.whole:
        if brief.transparent:
            canvas.image.putalpha(canvas.coverage)
        return canvas.image
    image = Image.new("RGB", (brief.width, brief.height), palette.paper)
    image.paste(canvas.image, (left, top))
    _letter(image, layout, brief, palette)
    if not brief.transparent:
        return image
    alpha = Image.new("L", image.size)
    alpha.paste(canvas.coverage, (left, top))
    if layout.caption.lines:
        pen = ImageDraw.Draw(alpha)
        pen.rectangle((layout.label[0], layout.label[1], layout.label[2] - 1, layout.label[3] - 1), fill=255)
    image.putalpha(alpha)
    return image


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
            height - margin * 2.4 - colophon * 2.9,
            max(13, short * 0.085),
            smallest=short * 0.03,
        )
        if not block.lines:
            return full
        art = (margin, margin, width - panel, height - margin)
        label = (width - panel, 0, width, height)
        top = max(margin, round((height - block.height - colophon * 2.9) / 2))
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
    band = gap + block.height + (round(colophon * 2.6) if colophon else 0) + max(round(margin * 0.95), 6)
    art = (margin, margin, width - margin, height - band)
    if art[3] - art[1] < height * 0.4:
        return full
    return _Layout(
        art, (0, height - band, width, height), block, (margin, height - band + gap), colophon, whole=False
    )


def _letter(image: Image.Image, layout: _Layout, brief: Brief, palette: Palette) -> None:
    """Set caption and colophon on the paper."""
    left, top = layout.origin
    layout.caption.draw(image, left, top, palette.ink)
    if layout.colophon:
        faint = mix(palette.ink, palette.paper, 0.38)
        baseline = top + layout.caption.height + round(layout.colophon * 2.6)
        right = layout.label[2] - layout.art[0]
        name_width, name = lettering.spaced(NAME, layout.colophon)
        seed_width, seed = lettering.spaced(f"No. {brief.seed}", layout.colophon)
        name(image, left, baseline, faint)
        if name_width + seed_width + layout.colophon * 2 < right - left:
            seed(image, right - seed_width, baseline, faint)
