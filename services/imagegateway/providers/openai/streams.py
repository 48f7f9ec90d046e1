"""OpenAI's image event streams.

Source: OpenAI's OpenAPI document 2.3.0 and the streaming code of its Python SDK 3.54.0, read 2026-11-22.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from imagegateway.providers.kit.adapter import StreamDecoder
from imagegateway.providers.kit.outcomes import PartialImage
from imagegateway.providers.openai import answers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.error_table import Failure
    from imagegateway.providers.kit.http_messages import HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome, ResultMedia

    ReadError = Callable[[Mapping[str, Any]], Failure]

_MEDIA_TYPE: Final = "text/event-stream"
_END: Final = b"[DONE]"


def is_stream(head: HttpResponse) -> bool:
    """Return whether a response is an event stream."""
    return str(head.headers.get("content-type", "")).startswith(_MEDIA_TYPE)


class ImageStream(StreamDecoder):
    """Decoder of one call's events: `partial_image` and `completed`, each with one image, or an error."""

    def __init__(self, call: Call, read_error: ReadError) -> None:
        """`read_error` converts an error object to a failure."""
        self._call = call
        self._read_error = read_error
        self._images: list[ResultMedia] = []
        self._usages: list[Any] = []
        self._failure: Failure | None = None

    def decode(self, data: bytes) -> PartialImage | None:
        if data == _END:
            return None
        event = orjson.loads(data)
        kind = str(event.get("type"))
        if isinstance(event.get("error"), dict):
            self._failure = self._failure or self._read_error(event["error"])
        elif kind.endswith(".partial_image"):
            return PartialImage(answers.parse_image(event), int(event.get("partial_image_index", 0)))
        elif kind.endswith(".completed"):
            self._images.append(answers.parse_image(event))
            self._usages.append(event.get("usage"))
        return None

    def outcome(self, error: Failure | None) -> Outcome:
        return answers.outcome_of(self._call, tuple(self._images), self._usages, self._failure or error)
