"""Images of OpenAI's responses, whole bodies and stream events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pybase64
from imagegateway.providers.kit.error_table import Failure
from imagegateway.providers.kit.outcomes import Finished, ResultMedia
from imagegateway.providers.openai import usage
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.outcomes import Outcome


def has_image(entry: Any) -> bool:
    """Return whether an entry of `data` holds an image. An entry without one counts as a missing image."""
    return isinstance(entry, dict) and bool(entry.get("b64_json") or entry.get("url"))


def parse_image(entry: Mapping[str, Any]) -> ResultMedia:
    """Return the image of an entry or event. Raises KeyError without one, ValueError for invalid base64."""
    revised = str(entry.get("revised_prompt") or "")
    if entry.get("b64_json"):
        return ResultMedia(data=pybase64.b64decode(entry["b64_json"], validate=True), revised_prompt=revised)
    return ResultMedia(url=entry["url"], revised_prompt=revised)


def outcome_of(
    call: Call,
    images: tuple[ResultMedia, ...],
    usages: list[Any],
    error: Failure | None = None,
    svg_usage: Any = None,
) -> Outcome:
    """Return the outcome of a call with these images. Further requested images are missing: OpenAI may block some.

    `usages` are the `usage` objects of the response or events; `error` is the cause of missing images, if known;
    `svg_usage` is the object of that name.
    """
    failure = error or Failure(
        ErrorReason.ERROR_REASON_PROVIDER_ERROR,
        f"OpenAI made {len(images)} of {call.count} images.",
        may_be_billed=True,
    )
    if not images:
        return failure
    return Finished(
        images,
        missing=(failure,) * (call.count - len(images)),
        usage=usage.sum_usages(usages, text_only=not call.inputs),
        svg_usage=usage.parse_svg_usage(svg_usage),
    )
