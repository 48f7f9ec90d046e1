"""Inspection of SVG results."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.parsers import expat

from imagegateway.media.images import ImageInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = "svg"
"""The output format's name in the catalog."""
MEDIA_TYPE: Final = "image/svg+xml"

_ROOT: Final = "http://www.w3.org/2000/svg svg"
_LENGTH: Final = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]*)?|\.[0-9]+)(px|pt|pc|in|cm|mm)?\s*")
_UNSIZED: Final = (300, 150)
"""CSS size of a replaced element without its own size."""
_PIXELS: Final = {None: 1.0, "px": 1.0, "pt": 96 / 72, "pc": 16.0, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4}
"""CSS pixels by unit."""


class _RefusedError(Exception):
    """The document is no SVG, or declares entities."""


def inspect(data: bytes) -> ImageInfo | None:
    """Return the properties of a well-formed SVG document. None: other bytes.

    The size is `width` and `height`, else the `viewBox`, in CSS pixels, at least 1. The default is CSS's 300x150.
    Documents that declare entities are refused: entities can expand without limit.
    """
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"<":
        return None
    root: list[Mapping[str, str]] = []
    parser = expat.ParserCreate(namespace_separator=" ")

    def start(name: str, attributes: Mapping[str, str]) -> None:
        if name != _ROOT:
            raise _RefusedError
        root.append(attributes)
        parser.StartElementHandler = None

    def entity(*_: object) -> None:
        raise _RefusedError

    parser.StartElementHandler = start
    parser.EntityDeclHandler = entity
    try:
        parser.Parse(data, True)
    except (_RefusedError, expat.ExpatError, ValueError):
        return None
    return ImageInfo(MEDIA_TYPE, *_size(root[0]), alpha=True)


def _size(root: Mapping[str, str]) -> tuple[int, int]:
    view = [_length(part) for part in root.get("viewBox", "").replace(",", " ").split()[2:]]
    sides = [_length(root.get(name, "")) for name in ("width", "height")]
    for width, height in (sides, view if len(view) == 2 else (None, None)):
        if width and height:
            return max(1, round(width)), max(1, round(height))
    return _UNSIZED


def _length(text: str) -> float | None:
    """Return a length in CSS pixels. None: a percentage or another relative length."""
    match = _LENGTH.fullmatch(text)
    return float(match[1]) * _PIXELS[match[2]] if match else None
