"""Seedance: a task for a video from text, its states, its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imagegateway.platform.errors import invalid
from imagegateway.providers.bytedance import errors
from imagegateway.providers.bytedance.catalog import VIDEO_RATIOS
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.kit.adapter import Finished, Pending, ResultMedia, Unknown
from imagegateway.providers.kit.error_table import Failure
from imagegateway.providers.kit.parsing import parse_whole_number
from imagegateway.providers.kit.usage import complete
from imagegateway.providers.sizes import AspectRatioSizes
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Usage

if TYPE_CHECKING:
    from imagegateway.providers.kit.adapter import Call, HttpResponse, Outcome

TASKS: Final = "/contents/generations/tasks"
PACE: Final = 3.0
_SHAPES: Final = AspectRatioSizes(VIDEO_RATIOS, pixels=0)
_RESOLUTIONS: Final = ((480, "480p"), (720, "720p"), (1080, "1080p"))
"""Longest shorter side of each; above them is 4k."""


def body(call: Call) -> dict[str, Any]:
    """The task's request. Raises GatewayError for a broken number of seconds: they are what is billed."""
    task = call.task
    unsupported_options.warn_fields(call, "moderation")
    request: dict[str, Any] = {
        "model": call.route.native_id,
        "content": [{"type": "text", "text": task.prompt}],
    }
    if task.width:
        # A caller who names a shape only has not asked for more pixels than usual.
        side = min(call.model.sizes.default if task.aspect_ratio else (task.width, task.height))
        request["ratio"] = _SHAPES.nearest_aspect_ratio(task.width, task.height)
        request["resolution"] = next((name for longest, name in _RESOLUTIONS if side <= longest), "4k")
    if task.HasField("seconds"):
        if not task.seconds.is_integer():
            raise invalid("seconds", "ByteDance makes videos of whole seconds.")
        request["duration"] = int(task.seconds)
    if call.seed is not None:
        request["seed"] = call.seed
    return request


def read(call: Call, ref: str, response: HttpResponse) -> Outcome:
    """How the task stands. A failed one is an answer with status 200."""
    answer = response.json_object()
    match str(answer.get("status") or "").lower():
        case "queued" | "running":
            return Pending(ref, after=PACE)
        case "succeeded":
            seed = answer.get("seed")
            return Finished(
                (
                    ResultMedia(
                        url=answer["content"]["video_url"],
                        seed=seed if isinstance(seed, int) and 0 <= seed < 1 << 32 else None,
                    ),
                ),
                usage=usage(call, answer, "completion_tokens"),
            )
        case "failed":
            return errors.failure(call, response, errors.told(response))
        case "cancelled":
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_ERROR, "ByteDance cancelled the task.", may_be_billed=True
            )
        case "expired":
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT, "ByteDance did not make it in time.", may_be_billed=True
            )
        case other:
            return Unknown(other)


def usage(call: Call, answer: dict[str, Any], output: str) -> Usage | None:
    """The tokens of an answer; `output` names the ones of what was made. Those of the input are the rest."""
    told = answer.get("usage")
    if not isinstance(told, dict):
        return None
    counts = Usage(
        output_tokens=parse_whole_number(told.get(output)), total_tokens=parse_whole_number(told.get("total_tokens"))
    )
    return complete(counts, text_only=not call.inputs)
