"""Server-sent events: OpenAI's image events, and the frame of any event."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, TypeAlias

import orjson
from google.protobuf.json_format import MessageToDict
from imagegateway.router import openai_values
from imagegateway.router.interceptor import failure_of
from imagegateway.router.json_rendering import PLACE, JsonDocument
from imagegateway.router.responses import Preview

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.router.call_context import Call
    from imagegateway.router.input_images import Intake
    from imagegateway.router.operations import Studio
    from imagegateway.router.responses import ImagesAnswer
    from imagegateway.router.validation import Plan

CONTENT_TYPE: Final = "text/event-stream"
HEARTBEAT_SECONDS: Final = 15.0
HEADERS: Final = {"cache-control": "no-cache", "x-accel-buffering": "no"}
"""An event is of use at once: no cache keeps it, and no proxy collects them (nginx reads the second)."""
COMMENT: Final = b": keep-alive\n\n"
_END: Final = b"\n\n"
_Event: TypeAlias = tuple[dict[str, object], Sequence[bytes]]
"""The data of an event, and the images in it."""


def event(name: str, data: dict[str, object], head: str = "") -> bytes:
    """One event; `head`: further lines, each with its end, such as its id."""
    return head.encode() + _head(name) + orjson.dumps(data) + _END


def _head(name: str) -> bytes:
    return b"event: %s\ndata: " % name.encode()


async def image_events(studio: Studio, made: Plan, call: Call, intake: Intake | None = None) -> AsyncIterator[bytes]:
    """Yield OpenAI's image events, in pieces. After the first one the status is 200 for good, and a failure an event.

    Raises GatewayError before the first event only.
    """
    begun = False
    try:
        async with aclosing(studio.watch(made, call, intake)) as steps:
            async for step in steps:
                events = [_partial(made, step)] if isinstance(step, Preview) else _completed(made, step)
                for data, contents in events:
                    for piece in JsonDocument.of(data, contents).pieces(_head(str(data["type"])), _END):
                        yield piece
                        begun = True
    except Exception as error:
        if not begun:
            raise
        yield event("error", {"type": "error", **failure_of(call, error).body()})


def _facts(made: Plan, width: int, height: int, output_format: str) -> dict[str, object]:
    """Return the fields that every image event has; all of them are required by OpenAI's types."""
    task = made.task
    facts: dict[str, object] = {
        "created_at": int(time.time()),
        "size": openai_values.size(width, height) or openai_values.AUTO,
        "quality": openai_values.quality(task.quality) or openai_values.AUTO,
        "background": openai_values.background(task.background) or openai_values.AUTO,
    }
    if output_format in openai_values.EVENT_FORMATS:
        facts["output_format"] = output_format
    return facts


def _partial(made: Plan, preview: Preview) -> _Event:
    prefix = "image_edit" if made.edit else "image_generation"
    data: dict[str, object] = {
        "type": f"{prefix}.partial_image",
        "b64_json": PLACE,
        "partial_image_index": preview.index,
        **_facts(made, *made.size, made.task.output_format or made.model.output_formats[0]),
    }
    return data, [preview.content]


def _completed(made: Plan, answer: ImagesAnswer) -> list[_Event]:
    prefix = "image_edit" if made.edit else "image_generation"
    events: list[_Event] = []
    response = answer.message
    for index, image in enumerate(response.data):
        output_format = openai_values.output_format(image.media_type) or ""
        facts = _facts(made, image.width, image.height, output_format)
        completed: dict[str, object] = {"type": f"{prefix}.completed", **facts}
        if response.safety_identifier:
            completed["safety_identifier"] = response.safety_identifier
        if response.HasField("usage"):
            completed["usage"] = MessageToDict(response.usage, preserving_proto_field_name=True)
        contents = answer.contents[index : index + 1]
        completed |= {"b64_json": PLACE} if contents else {"url": image.url}
        events.append((completed, contents))
    return events
