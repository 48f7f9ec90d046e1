"""Veo: videos by `:predictLongRunning`, an operation that is polled. Ended on the Gemini API on 2026-10-22.

Source: google-genai 2.34.0, the last one with Veo on the Gemini API, and ai.google.dev/gemini-api/docs/video, read
2026-11-22.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Cost

from services.common import unmet
from services.common.adapter import Failure, Finished, Found, Outgoing, Pending
from services.common.errors import invalid
from services.google import failures
from services.google.api import Api, merged
from services.google.catalog import RESOLUTIONS, SECOND_PRICES, VEO_SECONDS

if TYPE_CHECKING:
    from services.common.adapter import Call, Outcome, Reply

_PACE: Final = 5.0


class Veo(Api):
    """`models/{model}:predictLongRunning`, then the operation by its name."""

    def submit(self, call: Call) -> Outgoing:
        task = call.task
        unmet.fields(call, "moderation", "background")
        parameters: dict[str, Any] = {"sampleCount": call.count}
        if task.width:
            parameters["aspectRatio"] = "16:9" if task.width > task.height else "9:16"
            parameters["resolution"] = _resolution(call)
        if task.HasField("seconds"):
            parameters["durationSeconds"] = _seconds(call)
        if task.negative_prompt:
            parameters["negativePrompt"] = task.negative_prompt
        body = {"instances": [{"prompt": task.prompt}], "parameters": parameters}
        return Outgoing("POST", f"/models/{call.route.native}:predictLongRunning", json=merged(body, call.options))

    def read_submit(self, call: Call, reply: Reply) -> Outcome:
        return Pending(reply.dict()["name"], after=_PACE)

    def poll(self, ref: str) -> Outgoing:
        return Outgoing("GET", f"/{ref}")

    def read_poll(self, call: Call, ref: str, reply: Reply) -> Outcome:
        operation = reply.dict()
        if not operation.get("done"):  # it is left out until it is true
            return Pending(operation["name"], after=_PACE)
        if operation.get("error"):
            return failures.of_operation(reply, operation["error"])
        answer = operation["response"]["generateVideoResponse"]
        videos = tuple(Found(url=sample["video"]["uri"], keyed=True) for sample in answer.get("generatedSamples", []))
        missing = _missing(answer)
        if not videos:
            return missing
        return Finished(videos, missing=(missing,) * (call.count - len(videos)), cost=_cost(call, len(videos)))


def _seconds(call: Call) -> int:
    """Never another length than was asked for: seconds are paid for."""
    if call.task.seconds not in VEO_SECONDS:
        lengths = ", ".join(map(str, VEO_SECONDS))
        raise invalid("seconds", f"seconds must be one of {lengths} for {call.model.id}.")
    return int(call.task.seconds)


def _resolution(call: Call) -> str:
    width, height = call.model.sizes.nearest(call.task.width, call.task.height)
    return RESOLUTIONS[min(width, height)]


def _missing(answer: dict[str, Any]) -> Failure:
    if answer.get("raiMediaFilteredCount") or answer.get("raiMediaFilteredReasons"):
        return Failure(
            ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
            "Google refused the prompt or the result by its content policy.",
            param="prompt",
            accepted=True,
        )
    return Failure(ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Google failed to make the video.", accepted=True)


def _cost(call: Call, videos: int) -> Cost | None:
    resolution = _resolution(call) if call.task.width else "720p"
    price = SECOND_PRICES.get(call.route.native, {}).get(resolution)
    if price is None:
        return None
    seconds = _seconds(call) if call.task.HasField("seconds") else VEO_SECONDS[-1]
    return Cost(amount=round(price * seconds * videos, 6), currency="USD", estimated=True)
