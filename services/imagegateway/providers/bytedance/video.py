"""Seedance video tasks: request body, states and usage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imagegateway.platform.errors import invalid
from imagegateway.providers.bytedance import errors
from imagegateway.providers.bytedance.catalog import VIDEO_RATIOS
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.kit.error_table import Failure
from imagegateway.providers.kit.outcomes import Finished, Pending, ResultMedia, Unknown
from imagegateway.providers.kit.parsing import parse_whole_number
from imagegateway.providers.kit.usage import complete
from imagegateway.providers.sizes import AspectRatioSizes
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Usage

if TYPE_CHECKING:
    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.http_messages import HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome

TASKS: Final = "/contents/generations/tasks"
POLL_INTERVAL: Final = 3.0
_ASPECT_RATIOS: Final = AspectRatioSizes(VIDEO_RATIOS, pixels=0)
_RESOLUTIONS: Final = ((480, "480p"), (720, "720p"), (1080, "1080p"))
"""Resolutions by their longest shorter side, in pixels; larger videos are 4k."""


def body(call: Call) -> dict[str, Any]:
    """Return the request body of a task. Raises GatewayError for fractional seconds: ModelArk bills by the second."""
    task = call.task
    unsupported_options.warn_fields(call, "moderation")
    request: dict[str, Any] = {
        "model": call.route.native_id,
        "content": [{"type": "text", "text": task.prompt}],
    }
    if task.width:
        # An aspect ratio alone requests the default number of pixels.
        side = min(call.model.sizes.default if task.aspect_ratio else (task.width, task.height))
        request["ratio"] = _ASPECT_RATIOS.nearest_aspect_ratio(task.width, task.height)
        request["resolution"] = next((name for max_side, name in _RESOLUTIONS if side <= max_side), "4k")
    if task.HasField("seconds"):
        if not task.seconds.is_integer():
            raise invalid("seconds", "ByteDance makes videos of whole seconds.")
        request["duration"] = int(task.seconds)
    if call.seed is not None:
        request["seed"] = call.seed
    return request


def read(call: Call, ref: str, response: HttpResponse) -> Outcome:
    """Return the outcome of a task's state. A failed task is a response with status 200."""
    answer = response.json_object()
    match str(answer.get("status") or "").lower():
        case "queued" | "running":
            return Pending(ref, after=POLL_INTERVAL)
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
            return errors.failure(call, response, errors.error_of(response))
        case "cancelled":
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_ERROR, "ByteDance cancelled the task.", may_be_billed=True
            )
        case "expired":
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
                "ByteDance did not finish in time.",
                may_be_billed=True,
            )
        case other:
            return Unknown(other)


def usage(call: Call, answer: dict[str, Any], output: str) -> Usage | None:
    """Return the usage of a response; `output` is the field that counts the result's tokens, the rest are input."""
    counted = answer.get("usage")
    if not isinstance(counted, dict):
        return None
    counts = Usage(
        output_tokens=parse_whole_number(counted.get(output)),
        total_tokens=parse_whole_number(counted.get("total_tokens")),
    )
    return complete(counts, text_only=not call.inputs)
