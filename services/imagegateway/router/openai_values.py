"""Values that OpenAI's types accept for the fields of a response. Any other value is left out.

A typed client fails on another value, after the image was billed. Source: OpenAI's Python SDK 3.57.0,
`images_response` and the image event types; `tests/router/test_openai_types.py` compares them with the pinned SDK.
"""

from __future__ import annotations

from typing import Final

QUALITIES: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
BACKGROUNDS: Final = frozenset({"transparent", "opaque"})
OUTPUT_FORMATS: Final = frozenset({"png", "webp", "jpeg", "gif", "svg"})
EVENT_FORMATS: Final = frozenset({"png", "webp", "jpeg"})
"""Formats that the types of image events accept."""
AUTO: Final = "auto"
"""Value of an event's required field when the real value is unknown or not accepted."""


def size(width: int, height: int) -> str | None:
    """Return `<width>x<height>`, or None for an unknown side (0), as in videos."""
    return f"{width}x{height}" if width and height else None


def quality(value: str) -> str | None:
    """Return the quality if the types accept it, else None."""
    return value if value in QUALITIES else None


def background(value: str) -> str | None:
    """Return the background if the types accept it, else None."""
    return value if value in BACKGROUNDS else None


def output_format(media_type: str) -> str | None:
    """Return the format of a media type such as `image/svg+xml` if the types accept it, else None."""
    kind, _, name = media_type.partition("/")
    name = name.partition("+")[0]
    return name if kind == "image" and name in OUTPUT_FORMATS else None
