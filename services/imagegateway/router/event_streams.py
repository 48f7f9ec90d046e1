"""Server-sent events: the format of an event, and OpenAI's image events."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, TypeAlias

import orjson
from imagegateway.router import openai_values
from imagegateway.router.call_outcome import error_of
from imagegateway.router.json_rendering import PLACEHOLDER, JsonDocument, to_values
from imagegateway.router.responses import PartialImage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.router.call_context import Call
    from imagegateway.router.image_operations import ImageOperations
    from imagegateway.router.input_images import InputImages
    from imagegateway.router.responses import ImagesResult
    from imagegateway.router.validation.plan import Plan

CONTENT_TYPE: Final = "text/event-stream"
HEARTBEAT_SECONDS: Final = 15.0
HEADERS: Final = {"cache-control": "no-cache", "x-accel-buffering": "no"}
"""Headers of every event stream: caches keep no event, and proxies buffer none (nginx reads the second header)."""
COMMENT: Final = b": keep-alive\n\n"
_END: Final = b"\n\n"
_Event: TypeAlias = tuple[dict[str, object], Sequence[bytes]]
"""Data of an event, and the images that replace its placeholders."""


def event(name: str, data: dict[str, object], head: str = "") -> bytes:
    """Return one server-sent event. `head`: further lines, such as the id, each with its line end."""
    return head.encode() + _head(name) + orjson.dumps(data) + _END


def _head(name: str) -> bytes:
    return b"event: %s\ndata: " % name.encode()


async def image_events(
    images: ImageOperations, plan: Plan, call: Call, inputs: InputImages | None = None
) -> AsyncIterator[bytes]:
    """Yield OpenAI's image events, in pieces. The first one fixes the status 200: a later failure is an event, too.

    Raises GatewayError before the first event only.
    """
    has_begun = False
    try:
        async with aclosing(images.stream(plan, call, inputs)) as steps:
            async for step in steps:
                events = [_partial(plan, step)] if isinstance(step, PartialImage) else _completed(plan, step)
                for data, contents in events:
                    for piece in JsonDocument.of(data, contents).pieces(_head(str(data["type"])), _END):
                        yield piece
                        has_begun = True
    except Exception as error:
        if not has_begun:
            raise
        yield event("error", {"type": "error", **error_of(call, error).body()})


def _prefix(plan: Plan) -> str:
    """Return the start of a plan's event names."""
    return "image_edit" if plan.is_edit else "image_generation"


def _common_fields(plan: Plan, width: int, height: int, output_format: str) -> dict[str, object]:
    """Return the fields of every image event. OpenAI's types require all of them."""
    task = plan.task
    fields: dict[str, object] = {
        "created_at": int(time.time()),
        "size": openai_values.size(width, height) or openai_values.AUTO,
        "quality": openai_values.quality(task.quality) or openai_values.AUTO,
        "background": openai_values.background(task.background) or openai_values.AUTO,
    }
    if output_format in openai_values.EVENT_FORMATS:
        fields["output_format"] = output_format
    return fields


def _partial(plan: Plan, partial: PartialImage) -> _Event:
    data: dict[str, object] = {
        "type": f"{_prefix(plan)}.partial_image",
        "b64_json": PLACEHOLDER,
        "partial_image_index": partial.index,
        **_common_fields(plan, *plan.size, plan.task.output_format or plan.model.output_formats[0]),
    }
    return data, [partial.content]


def _completed(plan: Plan, result: ImagesResult) -> list[_Event]:
    events: list[_Event] = []
    response = result.message
    for index, image in enumerate(response.data):
        output_format = openai_values.output_format(image.media_type) or ""
        fields = _common_fields(plan, image.width, image.height, output_format)
        completed: dict[str, object] = {"type": f"{_prefix(plan)}.completed", **fields}
        if response.safety_identifier:
            completed["safety_identifier"] = response.safety_identifier
        if response.HasField("usage"):
            completed["usage"] = to_values(response.usage)
        contents = result.contents[index : index + 1]
        completed |= {"b64_json": PLACEHOLDER} if contents else {"url": image.url}
        events.append((completed, contents))
    return events
