"""Gemini Omni: video by the Interactions API, in the background; long ones are files that become active.

Source: ai.google.dev/gemini-api/docs/interactions and google-genai 3.4.0, read 2026-11-22.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from imagegateway.providers.google import failures, wire
from imagegateway.providers.google.api import Api
from imagegateway.providers.google.catalog import RESOLUTIONS, token_cost
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.kit.adapter import Finished, HttpRequest, Pending, ResultMedia, Unknown
from imagegateway.providers.kit.error_table import Failure
from imagegateway.providers.kit.parsing import parse_whole_number
from imagegateway.providers.kit.usage import complete
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Cost, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imagegateway.providers.kit.adapter import Call, HttpResponse, Outcome

_PACE: Final = 5.0
_ENDS: Final = {
    "failed": (ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Google failed to make the video."),
    "incomplete": (ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Google did not finish the video."),
    "cancelled": (ErrorReason.ERROR_REASON_PROVIDER_ERROR, "The video was cancelled at Google."),
    # Both wait for something that this gateway never sends.
    "requires_action": (ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Google's model asked for more than a prompt."),
    "requires_continuation": (ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Google's model stopped before the end."),
    "budget_exceeded": (ErrorReason.ERROR_REASON_PROVIDER_BILLING, "Google refused for lack of credit."),
}


class Omni(Api):
    """`interactions`; a reference is the path to poll: of the interaction, then of its file, after which the tokens
    stand that the interaction told, `files/x#7,46336,46343`.
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
        id_ = wire.answer(response).get("id")
        return _read_interaction(call, f"interactions/{quote(str(id_), safe='')}" if id_ else "", response)

    def poll(self, ref: str) -> HttpRequest:
        return HttpRequest("GET", f"/{ref.partition('#')[0]}")

    def read_poll(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        return _read_file(call, ref, response) if ref.startswith("files/") else _read_interaction(call, ref, response)

    def cancel(self, ref: str) -> HttpRequest | None:
        return None if ref.startswith("files/") else HttpRequest("POST", f"/{ref}/cancel", json={})


def _read_interaction(call: Call, ref: str, response: HttpResponse) -> Outcome:
    answer = wire.answer(response)
    status = str(answer.get("status") or "").lower()
    errors = wire.objects(answer.get("errors"))
    match status:
        case "queued" | "in_progress" if ref:
            return Pending(ref, after=_PACE)
        case "completed":
            return _completed(call, answer)
        case "failed" | "incomplete" if errors:
            return failures.inside(response, errors[0])
        case _ if status in _ENDS:
            return _failed(*_ENDS[status])
    return Unknown(status)


def _completed(call: Call, answer: Mapping[str, Any]) -> Outcome:
    videos = [
        item
        for step in wire.objects(answer.get("steps"))
        if step.get("type") == "model_output"
        for item in wire.objects(step.get("content"))
        if item.get("type") == "video"
    ]
    if not videos:
        return _failed(ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Google's model answered without a video.")
    usage = _usage(answer.get("usage"))
    if videos[-1].get("data"):
        return _finished(call, ResultMedia(data=wire.decoded(videos[-1]["data"])), usage)
    file = wire.file_of(videos[-1]["uri"])
    if not file:
        return _finished(call, wire.found(videos[-1]["uri"]), usage)
    return Pending(file + (f"#{_packed(usage)}" if usage else ""), after=0.5)


def _read_file(call: Call, ref: str, response: HttpResponse) -> Outcome:
    answer = wire.answer(response)
    file, _, tokens = ref.partition("#")
    match str(wire.at(answer, "file", "state") or answer.get("state") or "").upper():
        case "PROCESSING" | "STATE_UNSPECIFIED":
            return Pending(ref, after=_PACE)
        case "ACTIVE":
            return _finished(call, wire.found(file), _told(tokens))
        case "FAILED":
            return _failed(ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Google failed to make the video.")
        case other:
            return Unknown(other)


def _finished(call: Call, video: ResultMedia, usage: Usage | None) -> Finished:
    amount = token_cost(call.route.native_id, usage) if usage else None
    cost = None if amount is None else Cost(amount=amount, currency="USD", estimated=True)
    return Finished((video,), usage=usage, cost=cost)


def _told(tokens: str) -> Usage | None:
    if not tokens:
        return None
    return _counts(tokens.split(","))


def _usage(counted: Any) -> Usage | None:
    if not isinstance(counted, dict):
        return None
    return _counts([counted.get(name) for name in ("totalInputTokens", "totalOutputTokens", "totalTokens")])


def _counts(told: Sequence[Any]) -> Usage:
    """The tokens of input, output and both; what is no number is not known."""
    read, made, both = map(parse_whole_number, told)
    return complete(Usage(input_tokens=read, output_tokens=made, total_tokens=both), text_only=True)


def _packed(usage: Usage) -> str:
    """The counts as `_counts` reads them; one that is not known is empty."""
    known: tuple[tuple[bool, int], ...] = (
        (usage.HasField("input_tokens"), usage.input_tokens),
        (usage.HasField("output_tokens"), usage.output_tokens),
        (usage.HasField("total_tokens"), usage.total_tokens),
    )
    return ",".join(str(count) if there else "" for there, count in known)


def _failed(reason: ErrorReason.ValueType, message: str) -> Failure:
    return Failure(reason, message, may_be_billed=True)
