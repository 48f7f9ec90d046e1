"""Values that OpenAI's types know for the fields of an answer; what they do not know is left out.

Typed clients fail on any other value, after the image was paid for. Source: OpenAI's Python SDK 3.57.0,
`images_response` and the image event types; `tests/unit/test_openai_types.py` compares them with the pinned SDK.
"""

from __future__ import annotations

from typing import Final

QUALITIES: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
BACKGROUNDS: Final = frozenset({"transparent", "opaque"})
OUTPUT_FORMATS: Final = frozenset({"png", "webp", "jpeg", "gif", "svg"})
EVENT_FORMATS: Final = frozenset({"png", "webp", "jpeg"})
"""Formats that image events know."""
AUTO: Final = "auto"
"""What events say, whose fields are required, where the value is not known."""


def size(width: int, height: int) -> str | None:
    """Return `<width>x<height>`; None where a side is not known (0), as of a video."""
    return f"{width}x{height}" if width and height else None


def quality(value: str) -> str | None:
    """Return a quality that the types know."""
    return value if value in QUALITIES else None


def background(value: str) -> str | None:
    """Return a background that the types know."""
    return value if value in BACKGROUNDS else None


def output_format(media_type: str) -> str | None:
    """Return the format of a media type such as `image/svg+xml`, where the types know it."""
    kind, _, name = media_type.partition("/")
    name = name.partition("+")[0]
    return name if kind == "image" and name in OUTPUT_FORMATS else None
