"""Preview of images in the terminal, by the best way that the terminal has."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from imagegateway.cli.images import graphics, terminal_query
from imagegateway.cli.images.graphics import CELL, Area
from imagegateway.cli.images.terminal_query import Protocol, TerminalGraphics
from imagegateway.media import images
from imagegateway.platform.errors import GatewayError
from rich.segment import Segment
from rich.style import Style

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Image
    from rich.console import Console, ConsoleOptions

_COLUMNS: Final = 64
"""Most columns of a preview."""


def show(console: Console, data: bytes, protocol: Protocol | None = None) -> bool:
    """Show a PNG, JPEG or WebP image in the console's terminal. Return True if anything was shown.

    Without `protocol`, the terminal is asked. A console without a terminal shows nothing, as does one without colours
    or Unicode where half blocks would serve.
    """
    if not console.is_terminal or console.is_dumb_terminal:
        return False
    terminal = _ask() if protocol is None else TerminalGraphics(protocol)
    is_plain = console.options.ascii_only or console.no_color or console.color_system is None
    if terminal.protocol is Protocol.BLOCKS and is_plain:
        return False
    try:
        image = images.open_pixels(data, "image")
    except GatewayError:  # an SVG or a GIF: no preview
        return False
    area = Area(min(console.width - 1, _COLUMNS), max(console.height * 2 // 3, 1), terminal.cell or CELL)
    if terminal.protocol is Protocol.BLOCKS:
        console.print(HalfBlocks(image, area))
    else:
        console.file.write(graphics.encode(image, terminal.protocol, area) + "\n")
        console.file.flush()
    return True


def _ask() -> TerminalGraphics:
    """Return the graphics of this process's terminal, also with a pipe as standard input. Half blocks without one."""
    try:
        descriptor = os.open(os.ctermid(), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return TerminalGraphics()
    try:
        return terminal_query.query(descriptor)
    finally:
        os.close(descriptor)


class HalfBlocks:
    """Image as coloured half blocks, in as many colours as the console has."""

    def __init__(self, image: Image, area: Area) -> None:
        self._image = image
        self._area = area

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for row in graphics.half_blocks(self._image, self._area):
            for cell in row:
                yield Segment(cell.character, _style(cell))
            yield Segment.line()


def _style(cell: graphics.Cell) -> Style:
    foreground = cell.lower if cell.upper is None else cell.upper
    background = None if cell.upper is None else cell.lower
    return Style(color=_colour(foreground), bgcolor=_colour(background))


def _colour(pixel: tuple[int, int, int] | None) -> str | None:
    return None if pixel is None else "#{:02x}{:02x}{:02x}".format(*pixel)
