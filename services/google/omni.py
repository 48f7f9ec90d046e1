"""Gemini Omni: video by the Interactions API, in the background; long ones are files that become active.

Source: ai.google.dev/gemini-api/docs/interactions and google-genai 3.4.0, read 2026-11-22.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pybase64
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Usage

from services.common import unmet
from services.common.adapter import Failure, Finished, Found, Outgoing, Pending, Unknown
from services.google import failures
from services.google.api import Api, merged
from services.google.catalog import RESOLUTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.common.adapter import Call, Outcome, Reply

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
_FILE: Final = re.compile(r"\bfiles/([A-Za-z0-9_-]+)")


class Omni(Api):
    """`interactions`; a reference is the path to poll: of the interaction, then of its file."""

    def submit(self, call: Call) -> Outgoing:
        task = call.task
        unmet.fields(call, "moderation", "background")
        video: dict[str, Any] = {"type": "video", "delivery": "uri"}
        if task.width:
            width, height = call.model.sizes.nearest(task.width, task.height)
            video["aspect_ratio"] = "16:9" if width > height else "9:16"
            video["resolution"] = RESOLUTIONS[min(width, height)]
        if task.HasField("seconds"):
            video["duration"] = f"{task.seconds:g}s"
        body = {"model": call.route.native, "input": task.prompt, "response_format": video, "background": True}
        return Outgoing("POST", "/interactions", json=merged(body, call.options))

    def read_submit(self, call: Call, reply: Reply) -> Outcome:
        return self._read_interaction(reply)

    def poll(self, ref: str) -> Outgoing:
        return Outgoing("GET", f"/{ref}")

    def read_poll(self, call: Call, ref: str, reply: Reply) -> Outcome:
        return _read_file(ref, reply) if ref.startswith("files/") else self._read_interaction(reply)

    def cancel(self, ref: str) -> Outgoing | None:
        return None if ref.startswith("files/") else Outgoing("POST", f"/{ref}/cancel", json={})

    @staticmethod
    def _read_interaction(reply: Reply) -> Outcome:
        answer = reply.dict()
        match answer["status"]:
            case "queued" | "in_progress":
                return Pending(f"interactions/{answer['id']}", after=_PACE)
            case "completed":
                return _completed(answer)
            case "failed" | "incomplete" if answer.get("errors"):
                return failures.of_operation(reply, answer["errors"][0])
            case status if status in _ENDS:
                return _failed(*_ENDS[status])
            case other:
                return Unknown(str(other))


def _completed(answer: Mapping[str, Any]) -> Outcome:
    videos = [
        item
        for step in answer.get("steps") or []
        if step.get("type") == "model_output"
        for item in step.get("content") or []
        if item.get("type") == "video"
    ]
    if not videos:
        return _failed(ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Google's model answered without a video.")
    if videos[-1].get("data"):
        data = pybase64.b64decode(videos[-1]["data"], validate=True)
        return Finished((Found(data=data),), usage=_usage(answer.get("usage")))
    file = _FILE.search(videos[-1]["uri"])
    if file is None:
        return Finished((Found(url=videos[-1]["uri"], keyed=True),), usage=_usage(answer.get("usage")))
    return Pending(file[0], after=0.5)


def _read_file(ref: str, reply: Reply) -> Outcome:
    match reply.dict()["state"]:
        case "PROCESSING" | "STATE_UNSPECIFIED":
            return Pending(ref, after=_PACE)
        case "ACTIVE":
            return Finished((Found(url=f"/{ref}:download?alt=media", keyed=True),))
        case "FAILED":
            return _failed(ErrorReason.ERROR_REASON_PROVIDER_ERROR, "Google failed to make the video.")
        case other:
            return Unknown(str(other))


def _usage(counted: Any) -> Usage | None:
    if not isinstance(counted, dict):
        return None
    return Usage(
        input_tokens=counted.get("total_input_tokens", 0),
        output_tokens=counted.get("total_output_tokens", 0),
        total_tokens=counted.get("total_tokens", 0),
    )


def _failed(reason: ErrorReason.ValueType, message: str) -> Failure:
    return Failure(reason, message, accepted=True)
