"""Server-sent events: OpenAI's image events, and the frame of any event."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import orjson
import pybase64
from google.protobuf.json_format import MessageToDict
from imagegateway.router import openai_values
from imagegateway.router.interceptor import failure_of
from imagegateway.router.operations import Preview

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.router.call_context import Call
    from imagegateway.router.input_images import Intake
    from imagegateway.router.operations import Studio
    from imagegateway.router.validation import Plan
    from imagegateway.v1 import image_service_pb2 as pb

CONTENT_TYPE: Final = "text/event-stream"
HEARTBEAT_SECONDS: Final = 15.0
HEADERS: Final = {"cache-control": "no-cache", "x-accel-buffering": "no"}
"""An event is of use at once: no cache keeps it, and no proxy collects them (nginx reads the second)."""
COMMENT: Final = b": keep-alive\n\n"


def event(name: str, data: dict[str, object], head: str = "") -> bytes:
    """One event; `head`: further lines, each with its end, such as its id."""
    return b"%sevent: %s\ndata: %s\n\n" % (head.encode(), name.encode(), orjson.dumps(data))


async def image_events(studio: Studio, made: Plan, call: Call, intake: Intake | None = None) -> AsyncIterator[bytes]:
    """OpenAI's image events. Once one is out the status is 200 for good: a later failure is an event too.

    Raises GatewayError before the first event only.
    """
    prefix = "image_edit" if made.edit else "image_generation"
    begun = False
    try:
        async for step in studio.watch(made, call, intake):
            if isinstance(step, Preview):
                yield event(f"{prefix}.partial_image", _partial(made, step))
                begun = True
            else:
                for completed in _completed(made, step):
                    yield event(f"{prefix}.completed", completed)
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


def _partial(made: Plan, preview: Preview) -> dict[str, object]:
    prefix = "image_edit" if made.edit else "image_generation"
    return {
        "type": f"{prefix}.partial_image",
        "b64_json": pybase64.b64encode_as_string(preview.data),
        "partial_image_index": preview.index,
        **_facts(made, *made.size, made.task.output_format or made.model.output_formats[0]),
    }


def _completed(made: Plan, response: pb.ImagesResponse) -> list[dict[str, object]]:
    prefix = "image_edit" if made.edit else "image_generation"
    events: list[dict[str, object]] = []
    for image in response.data:
        output_format = openai_values.output_format(image.media_type) or ""
        facts = _facts(made, image.width, image.height, output_format)
        completed: dict[str, object] = {"type": f"{prefix}.completed", **facts}
        if response.safety_identifier:
            completed["safety_identifier"] = response.safety_identifier
        if response.HasField("usage"):
            completed["usage"] = MessageToDict(response.usage, preserving_proto_field_name=True)
        if image.HasField("b64_json"):
            completed["b64_json"] = pybase64.b64encode_as_string(image.b64_json)
        else:
            completed["url"] = image.url
        events.append(completed)
    return events
