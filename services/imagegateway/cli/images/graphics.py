"""Encoders of an image for a terminal: Kitty's and iTerm2's protocols, sixel, and half blocks.

Sources, read 2026-11-29: Kitty's "Terminal graphics protocol"; iTerm2's "Inline images protocol"; DEC STD 070,
chapter 9, and libsixel's notes on terminals for sixel.
"""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.cli.images.terminal_query import Protocol
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK: Final = 4096
"""Largest payload of one of Kitty's escape sequences, in characters of base64."""
_COLOURS: Final = 255
"""Colours of a sixel image. Index 255 marks transparent pixels."""
_OPAQUE: Final = 128
"""Smallest alpha of a pixel that sixel and half blocks show."""
_BAND: Final = 6
"""Rows of pixels in one line of sixels."""
_EMPTY: Final = 0x3F
"""Sixel without a pixel."""
_RUN: Final = re.compile(rb"(.)\1{3,}", re.DOTALL)
_UPPER, _LOWER = "▀", "▄"


CELL: Final = (8, 16)
"""Usual width and height of a character cell in pixels."""


@dataclass(frozen=True, slots=True)
class Area:
    """Area of a terminal that an image may use."""

    columns: int
    rows: int
    cell: tuple[int, int] = CELL
    """Width and height of a character cell in pixels."""


def encode(image: Image.Image, protocol: Protocol, area: Area) -> str:
    """Return the escape sequence that shows an image at the cursor, scaled down to fit the area. No line end follows.

    Half blocks have no sequence of their own: `half_blocks` returns them as coloured characters.
    """
    match protocol:
        case Protocol.KITTY:
            return _kitty(*_placed(image, area))
        case Protocol.ITERM2:
            return _iterm2(*_placed(image, area))
        case Protocol.SIXEL:
            return _sixel(_scaled(image, area.columns * area.cell[0], area.rows * area.cell[1]))
        case Protocol.BLOCKS:
            raise ValueError("half blocks are characters: see half_blocks")


@dataclass(frozen=True, slots=True)
class Cell:
    """Character cell with two pixels. None: the terminal's background."""

    upper: tuple[int, int, int] | None
    lower: tuple[int, int, int] | None

    @property
    def character(self) -> str:
        """Character whose foreground is the upper pixel, or the lower one where the upper is transparent."""
        if self.upper is None:
            return " " if self.lower is None else _LOWER
        return _UPPER


def half_blocks(image: Image.Image, area: Area) -> Iterator[list[Cell]]:
    """Yield rows of cells. A cell's two pixels are square in fonts that are twice as high as wide."""
    small = _scaled(image, area.columns, area.rows * 2).convert("RGBA")
    width, height = small.size
    pixels = small.tobytes()

    def pixel(x: int, y: int) -> tuple[int, int, int] | None:
        at = 4 * (y * width + x)
        if y >= height or pixels[at + 3] < _OPAQUE:
            return None
        return pixels[at], pixels[at + 1], pixels[at + 2]

    for top in range(0, height, 2):
        yield [Cell(pixel(x, top), pixel(x, top + 1)) for x in range(width)]


def _scaled(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return an image that fits into a size in pixels. Smaller images keep their size."""
    scale = min(width / image.width, height / image.height, 1.0)
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def _placed(image: Image.Image, area: Area) -> tuple[bytes, int]:
    """Return the scaled image as PNG, and its width in columns."""
    width, height = area.cell
    scaled = _scaled(image, area.columns * width, area.rows * height)
    file = io.BytesIO()
    scaled.save(file, "PNG")
    return file.getvalue(), min(-(-scaled.width // width), area.columns)


def _kitty(png: bytes, columns: int) -> str:
    """Transmit and show a PNG. The terminal derives the rows, and sends no reply (`q=2`)."""
    payload = base64.b64encode(png).decode()
    chunks = [payload[at : at + _CHUNK] for at in range(0, len(payload), _CHUNK)]
    keys = [f"a=T,f=100,q=2,c={columns},", *("" for _ in chunks[1:])]
    more = [*("m=1" for _ in chunks[1:]), "m=0"]
    return "".join(f"\x1b_G{key}{last};{chunk}\x1b\\" for key, last, chunk in zip(keys, more, chunks, strict=True))


def _iterm2(png: bytes, columns: int) -> str:
    payload = base64.b64encode(png).decode()
    return f"\x1b]1337;File=inline=1;size={len(png)};width={columns};preserveAspectRatio=1:{payload}\a"


def _sixel(image: Image.Image) -> str:
    """Return an image in at most 255 colours. Transparent pixels stay as they are in the terminal (`P2=1`)."""
    width, height = image.size
    rgba = image.convert("RGBA")
    reduced = rgba.convert("RGB").quantize(_COLOURS, Image.Quantize.FASTOCTREE)
    alpha = rgba.getchannel("A").tobytes()
    pixels = bytes(
        index if opaque >= _OPAQUE else _COLOURS for index, opaque in zip(reduced.tobytes(), alpha, strict=True)
    )
    palette = reduced.getpalette() or []
    registers = "".join(
        f"#{index};2;" + ";".join(str(round(value * 100 / 255)) for value in palette[3 * index : 3 * index + 3])
        for index in sorted(set(pixels) - {_COLOURS})
    )
    bands = [_band(pixels[top * width : (top + _BAND) * width], width) for top in range(0, height, _BAND)]
    return f'\x1bP0;1;0q"1;1;{width};{height}{registers}{"-".join(bands)}\x1b\\'


def _band(pixels: bytes, width: int) -> str:
    """Return up to six rows of pixels: one line of sixels for each colour, over each other."""
    lines: dict[int, bytearray] = {}
    for at, colour in enumerate(pixels):
        if colour != _COLOURS:
            row, x = divmod(at, width)
            if colour not in lines:
                lines[colour] = bytearray([_EMPTY]) * width
            lines[colour][x] += 1 << row
    return "$".join(f"#{colour}{_compressed(line)}" for colour, line in lines.items())


def _compressed(line: bytearray) -> str:
    """Return a line of sixels with repeats written as `!<count><sixel>`."""
    return _RUN.sub(lambda run: b"!%d%b" % (len(run[0]), run[1]), line.rstrip(b"?")).decode()
