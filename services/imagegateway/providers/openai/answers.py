"""The pictures of OpenAI's answers, whole ones and events alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pybase64
from imagegateway.providers.kit.adapter import Finished, ResultMedia
from imagegateway.providers.kit.error_table import Failure
from imagegateway.providers.openai import usage
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.adapter import Call, Outcome


def has_picture(item: Any) -> bool:
    """Whether an entry of an answer holds one: an entry without is a missing picture, not the loss of all others."""
    return isinstance(item, dict) and bool(item.get("b64_json") or item.get("url"))


def found(item: Mapping[str, Any]) -> ResultMedia:
    """The picture of an item or event. Raises KeyError without one, ValueError for one that is no base64."""
    revised = str(item.get("revised_prompt") or "")
    if item.get("b64_json"):
        return ResultMedia(data=pybase64.b64decode(item["b64_json"], validate=True), revised_prompt=revised)
    return ResultMedia(url=item["url"], revised_prompt=revised)


def finished(
    call: Call, pictures: tuple[ResultMedia, ...], counts: list[Any], error: Failure | None = None, author: Any = None
) -> Outcome:
    """Fewer pictures than were asked for are missing ones: OpenAI may leave out what it blocked.

    `counts` are the answers' `usage` objects; `error` says why pictures are missing, where that is known; `author` is
    an answer's `svg_usage`, whose tokens have no known price.
    """
    short = error or Failure(
        ErrorReason.ERROR_REASON_PROVIDER_ERROR,
        f"OpenAI made {len(pictures)} of {call.count} images.",
        may_be_billed=True,
    )
    if not pictures:
        return short
    used = usage.counted(counts, text_only=not call.inputs)
    return Finished(
        pictures,
        missing=(short,) * (call.count - len(pictures)),
        usage=used,
        cost=None if author else usage.cost(call.route.native_id, used),
        svg_usage=usage.author(author),
    )
