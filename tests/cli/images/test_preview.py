"""Preview of an image: each protocol shows the image's pixels, and nothing is shown where no terminal can."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.cli.images import preview
from imagegateway.cli.images.terminal_query import Protocol, TerminalGraphics
from PIL import Image, ImageChops
from rich.console import Console

from tests.support import terminal_images
from tests.support.fake_gateway import drawing, png

if TYPE_CHECKING:
    from collections.abc import Callable


class _Screen(io.StringIO):
    """Standard output of a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def _console(**options: Any) -> Console:
    options = {"color_system": "truecolor", "width": 80, "height": 30, "_environ": {"TERM": "xterm"}, **options}
    return Console(file=_Screen(), **options)


def _shown(console: Console) -> str:
    assert isinstance(console.file, _Screen)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("protocol", "decode", "allowed"),
    [
        (Protocol.KITTY, lambda output: terminal_images.kitty(output)[0], 0.0),
        (Protocol.ITERM2, lambda output: terminal_images.iterm2(output)[0], 0.0),
        (Protocol.SIXEL, terminal_images.sixel, 6.0),
        (Protocol.BLOCKS, terminal_images.half_blocks, 0.0),
    ],
)
def test_preview_has_the_pixels_of_the_image(
    monkeypatch: pytest.MonkeyPatch, protocol: Protocol, decode: Callable[[str], Image.Image], allowed: float
) -> None:
    monkeypatch.setattr(preview, "_ask", lambda: TerminalGraphics(protocol, (8, 16)))
    console = _console()
    assert preview.show(console, png())
    shown = decode(_shown(console)).convert("RGB")
    assert shown.size == (48, 32)
    histogram = ImageChops.difference(shown, drawing()).histogram()
    assert sum(value % 256 * count for value, count in enumerate(histogram)) / sum(histogram) <= allowed
    assert _shown(console).endswith("\n")


def test_preview_of_a_large_image_fits_the_terminal() -> None:
    console = _console(width=40, height=12)
    assert preview.show(console, png(900, 900), Protocol.BLOCKS)
    assert terminal_images.half_blocks(_shown(console)).size == (16, 16)


def test_named_protocol_needs_no_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(preview, "_ask")
    assert preview.show(_console(), png(), Protocol.SIXEL)


@pytest.mark.parametrize(
    "options",
    [
        {"force_terminal": False},
        {"_environ": {"TERM": "dumb"}},
        {"_environ": {"TERM": "xterm", "NO_COLOR": "1"}},
        {"color_system": None},
    ],
    ids=["pipe", "dumb terminal", "NO_COLOR", "no colours"],
)
def test_half_blocks_need_a_terminal_with_colours(options: dict[str, Any]) -> None:
    console = _console(**options)
    assert not preview.show(console, png(), Protocol.BLOCKS)
    assert _shown(console) == ""


def test_half_blocks_need_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Screen, "encoding", "ascii")
    assert not preview.show(_console(), png(), Protocol.BLOCKS)


@pytest.mark.parametrize("data", [b"<svg/>", b"", b"\x89PNG\r\n\x1a\n"], ids=["svg", "empty", "damaged"])
def test_file_that_is_no_raster_image_is_not_shown(data: bytes) -> None:
    console = _console()
    assert not preview.show(console, data, Protocol.KITTY)
    assert _shown(console) == ""
