"""Veo: videos by `:predictLongRunning`, a polled operation. Google ended Veo on the Gemini API on 2026-10-22.

Source: google-genai 2.34.0, the last version with Veo on the Gemini API, and ai.google.dev/gemini-api/docs/video,
read 2026-11-22.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imagegateway.platform.errors import invalid
from imagegateway.providers.google import wire
from imagegateway.providers.google.api import Api
from imagegateway.providers.google.catalog import RESOLUTIONS, VEO_SECONDS
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.kit.error_table import Failure, RefusedPart, moderation_failure
from imagegateway.providers.kit.http_messages import HttpRequest
from imagegateway.providers.kit.outcomes import Finished, Pending, ResultMedia
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.http_messages import HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome

_POLL_INTERVAL: Final = 5.0


class Veo(Api):
    """API `models/{model}:predictLongRunning`, then the operation by its name."""

    def submit(self, call: Call) -> HttpRequest:
        unsupported_options.warn_fields(call, "moderation", "background")
        body = {"instances": [{"prompt": call.task.prompt}], "parameters": _parameters(call)}
        path = f"/models/{call.route.native_id}:predictLongRunning"
        return HttpRequest("POST", path, json=call.with_options(body))

    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        name = wire.body_of(response)["name"]
        if not (name and isinstance(name, str)):
            raise TypeError("the operation has no name")
        return self.read_poll(call, name.strip("/"), response)

    def poll(self, ref: str) -> HttpRequest:
        return HttpRequest("GET", f"/{ref}")

    def read_poll(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        operation = wire.body_of(response)
        if not operation:
            raise TypeError("the response is not an object")
        if not operation.get("done"):
            return Pending(ref, after=_POLL_INTERVAL)
        result = operation["response"]
        answer = result.get("generateVideoResponse") or result
        samples = wire.objects(answer.get("generatedSamples")) + wire.objects(answer.get("videos"))
        videos = tuple(filter(None, (_result(sample.get("video") or sample) for sample in samples)))
        missing = _missing(answer)
        if not videos:
            return missing
        return Finished(videos, missing=(missing,) * (call.count - len(videos)))


def _result(video: Mapping[str, Any]) -> ResultMedia | None:
    data = video.get("encodedVideo") or video.get("bytesBase64Encoded")
    if data:
        return ResultMedia(data=wire.decode_base64(data))
    return wire.result_at(video["uri"]) if video.get("uri") else None


def _parameters(call: Call) -> dict[str, Any]:
    task = call.task
    parameters: dict[str, Any] = {"sampleCount": call.count}
    if task.width:
        parameters["aspectRatio"] = "16:9" if task.width > task.height else "9:16"
        parameters["resolution"] = _resolution(call)
    if task.HasField("seconds"):
        parameters["durationSeconds"] = _seconds(call)
    if task.negative_prompt:
        parameters["negativePrompt"] = task.negative_prompt
    return parameters


def _seconds(call: Call) -> int:
    """Return the requested length, which Google bills by the second. Raises GatewayError for one that Veo lacks."""
    if call.task.seconds not in VEO_SECONDS:
        lengths = ", ".join(map(str, VEO_SECONDS))
        raise invalid("seconds", f"seconds must be one of {lengths} for {call.model.id}.")
    return int(call.task.seconds)


def _resolution(call: Call) -> str:
    width, height = call.model.sizes.nearest(call.task.width, call.task.height)
    return RESOLUTIONS[min(width, height)]


def _missing(answer: Mapping[str, Any]) -> Failure:
    if wire.parse_count(answer.get("raiMediaFilteredCount")) or answer.get("raiMediaFilteredReasons"):
        return moderation_failure("Google", RefusedPart.PROMPT_OR_RESULT, may_be_billed=True)
    return Failure(ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Google failed to make the video.", may_be_billed=True)
