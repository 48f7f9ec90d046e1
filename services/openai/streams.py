"""OpenAI's image event streams, read whole.

Source: OpenAI's OpenAPI document 2.3.0 and the streaming code of its Python SDK 3.54.0, read 2026-11-22.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from services.common.adapter import Reply

_MEDIA_TYPE: Final = "text/event-stream"
_END: Final = "[DONE]"


def is_stream(reply: Reply) -> bool:
    """Whether an answer is a stream of events."""
    return str(reply.headers.get("content-type", "")).startswith(_MEDIA_TYPE)


def events(reply: Reply) -> list[dict[str, Any]]:
    """The JSON objects of a stream's events, in order. Raises ValueError for one that is none."""
    found: list[dict[str, Any]] = []
    for block in reply.content.decode().replace("\r\n", "\n").split("\n\n"):
        lines = [line.removeprefix("data:") for line in block.split("\n") if line.startswith("data:")]
        text = "\n".join(lines).strip()
        if text and text != _END:
            event = json.loads(text)
            if not isinstance(event, dict):
                raise ValueError("an event is no object")
            found.append(event)
    return found
