"""Gemini Omni: videos by background interactions; a long video is a file that becomes active later.

Source: ai.google.dev/gemini-api/docs/interactions and google-genai 3.4.0, read 2026-11-22.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from imagegateway.providers.google import failures, wire
from imagegateway.providers.google.api import Api
from imagegateway.providers.google.catalog import RESOLUTIONS
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.kit.error_table import Failure
from imagegateway.providers.kit.http_messages import HttpRequest
from imagegateway.providers.kit.outcomes import Finished, Pending, ResultMedia, Unknown
from imagegateway.providers.kit.parsing import parse_whole_number
from imagegateway.providers.kit.usage import complete
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.http_messages import HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome

_POLL_INTERVAL: Final = 5.0
_FAILED_STATUSES: Final = {
    "failed": (ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Google failed to make the video."),
    "incomplete": (ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Google did not finish the video."),
    "cancelled": (ErrorReason.ERROR_REASON_PROVIDER_ERROR, "The video was cancelled at Google."),
    # Both wait for input that this gateway never sends.
    "requires_action": (ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Google's model requires more than a prompt."),
    "requires_continuation": (ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Google's model stopped before the end."),
    "budget_exceeded": (ErrorReason.ERROR_REASON_PROVIDER_BILLING, "Google refused for lack of credit."),
}


class Omni(Api):
    """API `interactions`.

    A task reference is the path to poll: first the interaction's, then its file's with the interaction's token counts
    after it, such as `files/x#7,46336,46343`.
    """

    def submit(self, call: Call) -> HttpRequest:
        task = call.task
        unsupported_options.warn_fields(call, "moderation", "background")
        video: dict[str, Any] = {"type": "video", "delivery": "uri"}
        if task.width:
            width, height = call.model.sizes.nearest(task.width, task.height)
            video["aspect_ratio"] = "16:9" if width > height else "9:16"
            video["resolution"] = RESOLUTIONS[min(width, height)]
        if task.HasField("seconds"):
            video["duration"] = f"{task.seconds:g}s"
        body = {"model": call.route.native_id, "input": task.prompt, "response_format": video, "background": True}
        return HttpRequest("POST", "/interactions", json=call.with_options(body))

    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        id_ = wire.body_of(response).get("id")
        return _read_interaction(f"interactions/{quote(str(id_), safe='')}" if id_ else "", response)

    def poll(self, ref: str) -> HttpRequest:
        return HttpRequest("GET", f"/{ref.partition('#')[0]}")

    def read_poll(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        return _read_file(ref, response) if ref.startswith("files/") else _read_interaction(ref, response)

    def cancel(self, ref: str) -> HttpRequest | None:
        return None if ref.startswith("files/") else HttpRequest("POST", f"/{ref}/cancel", json={})


def _read_interaction(ref: str, response: HttpResponse) -> Outcome:
    answer = wire.body_of(response)
    status = str(answer.get("status") or "").lower()
    errors = wire.objects(answer.get("errors"))
    match status:
        case "queued" | "in_progress" if ref:
            return Pending(ref, after=_POLL_INTERVAL)
        case "completed":
            return _completed(answer)
        case "failed" | "incomplete" if errors:
            return failures.embedded_failure(response, errors[0])
        case _ if status in _FAILED_STATUSES:
            return _failed(*_FAILED_STATUSES[status])
    return Unknown(status)


def _completed(answer: Mapping[str, Any]) -> Outcome:
    videos = [
        item
        for step in wire.objects(answer.get("steps"))
        if step.get("type") == "model_output"
        for item in wire.objects(step.get("content"))
        if item.get("type") == "video"
    ]
    if not videos:
        return _failed(ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Google's model returned no video.")
    usage = _usage(answer.get("usage"))
    if videos[-1].get("data"):
        return Finished((ResultMedia(data=wire.decode_base64(videos[-1]["data"])),), usage=usage)
    file = wire.file_name(videos[-1]["uri"])
    if not file:
        return Finished((wire.result_at(videos[-1]["uri"]),), usage=usage)
    return Pending(file + (f"#{_pack(usage)}" if usage else ""), after=0.5)


def _read_file(ref: str, response: HttpResponse) -> Outcome:
    answer = wire.body_of(response)
    file, _, tokens = ref.partition("#")
    match str(wire.nested(answer, "file", "state") or answer.get("state") or "").upper():
        case "PROCESSING" | "STATE_UNSPECIFIED":
            return Pending(ref, after=_POLL_INTERVAL)
        case "ACTIVE":
            return Finished((wire.result_at(file),), usage=_unpack(tokens))
        case "FAILED":
            return _failed(ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Google failed to make the video.")
        case other:
            return Unknown(other)


def _unpack(tokens: str) -> Usage | None:
    """Return the usage that a task reference holds; None for a reference without token counts."""
    if not tokens:
        return None
    return _counts(tokens.split(","))


def _usage(counted: Any) -> Usage | None:
    if not isinstance(counted, dict):
        return None
    return _counts([counted.get(name) for name in ("totalInputTokens", "totalOutputTokens", "totalTokens")])


def _counts(counts: Sequence[Any]) -> Usage:
    """Return the usage of input, output and total tokens; a count that is not a number stays unset."""
    input_tokens, output_tokens, total_tokens = map(parse_whole_number, counts)
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens, total_tokens=total_tokens)
    return complete(usage, text_only=True)


def _pack(usage: Usage) -> str:
    """Return the token counts as `_unpack` reads them; an unset count is empty."""
    counts: tuple[tuple[bool, int], ...] = (
        (usage.HasField("input_tokens"), usage.input_tokens),
        (usage.HasField("output_tokens"), usage.output_tokens),
        (usage.HasField("total_tokens"), usage.total_tokens),
    )
    return ",".join(str(count) if is_set else "" for is_set, count in counts)


def _failed(reason: ErrorReason.ValueType, message: str) -> Failure:
    return Failure(reason, message, may_be_billed=True)
