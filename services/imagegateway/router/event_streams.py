"""Server-sent events: the format of an event, and OpenAI's image events."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import orjson
import pybase64
from google.protobuf.json_format import MessageToDict
from imagegateway.router import openai_values
from imagegateway.router.call_outcome import error_of
from imagegateway.router.image_operations import PartialImage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.router.call_context import Call
    from imagegateway.router.image_operations import ImageOperations
    from imagegateway.router.input_images import InputImages
    from imagegateway.router.validation.plan import Plan
    from imagegateway.v1 import image_service_pb2 as pb

CONTENT_TYPE: Final = "text/event-stream"
HEARTBEAT_SECONDS: Final = 15.0
HEADERS: Final = {"cache-control": "no-cache", "x-accel-buffering": "no"}
"""Headers of every event stream: caches keep no event, and proxies buffer none (nginx reads the second header)."""
COMMENT: Final = b": keep-alive\n\n"


def event(name: str, data: dict[str, object], head: str = "") -> bytes:
    """Return one server-sent event. `head`: further lines, such as the id, each with its line end."""
    return b"%sevent: %s\ndata: %s\n\n" % (head.encode(), name.encode(), orjson.dumps(data))


async def image_events(
    images: ImageOperations, plan: Plan, call: Call, inputs: InputImages | None = None
) -> AsyncIterator[bytes]:
    """Yield OpenAI's image events. The first one fixes the status 200: a later failure is an event, too.

    Raises GatewayError before the first event only.
    """
    prefix = _prefix(plan)
    has_begun = False
    try:
        async for step in images.stream(plan, call, inputs):
            if isinstance(step, PartialImage):
                yield event(f"{prefix}.partial_image", _partial(plan, step))
                has_begun = True
            else:
                for completed in _completed(plan, step):
                    yield event(f"{prefix}.completed", completed)
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


def _partial(plan: Plan, partial: PartialImage) -> dict[str, object]:
    prefix = _prefix(plan)
    return {
        "type": f"{prefix}.partial_image",
        "b64_json": pybase64.b64encode_as_string(partial.data),
        "partial_image_index": partial.index,
        **_common_fields(plan, *plan.size, plan.task.output_format or plan.model.output_formats[0]),
    }


def _completed(plan: Plan, response: pb.ImagesResponse) -> list[dict[str, object]]:
    prefix = _prefix(plan)
    events: list[dict[str, object]] = []
    for image in response.data:
        output_format = openai_values.output_format(image.media_type) or ""
        fields = _common_fields(plan, image.width, image.height, output_format)
        completed: dict[str, object] = {"type": f"{prefix}.completed", **fields}
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
