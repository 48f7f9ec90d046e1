"""Black Forest Labs' own API: submit a task, poll it, fetch one picture. There is no `n` and no cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pybase64
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Cost

from services.bfl import video
from services.common.adapter import Adapter, ErrorTable, Failure, Finished, Found, Outgoing, Pending, Unknown
from services.common.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.common.adapter import Call, Outcome, Reply

_FIRST_POLL: Final = 0.5
_PACE: Final = 1.5
_USD_PER_CREDIT: Final = 0.01
_MAX_INPUT_BYTES: Final = 20_000_000

# Which field the first input picture goes to; those not named take `input_image`, `input_image_2` and on.
_SINGLE_INPUT: Final = {"flux-dev": "image_prompt", "flux-pro-1.0-fill": "image"}


class BflAdapter(Adapter):
    """Source: docs.bfl.ai and BFL's OpenAPI document, read 2026-11-22."""

    route = "bfl"
    origin = "https://api.bfl.ai"
    version = "/v1"
    hosts = ("*.bfl.ai",)
    seconds = 60.0
    errors = ErrorTable(
        provider="Black Forest Labs",
        by_status={
            400: ErrorReason.ERROR_REASON_INVALID_VALUE,
            401: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            402: ErrorReason.ERROR_REASON_PROVIDER_BILLING,
            403: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            404: ErrorReason.ERROR_REASON_MODEL_RETIRED,
            422: ErrorReason.ERROR_REASON_INVALID_VALUE,
            429: ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        },
    )

    def auth(self, credential: str) -> Mapping[str, str]:
        return {"x-key": credential}

    def submit(self, call: Call) -> Outgoing:
        path = f"/{call.route.native}"
        body = video.body(call) if call.model.modality == "video" else self._body(call)
        return Outgoing("POST", path, json={**body, **call.options})

    @staticmethod
    def _body(call: Call) -> dict[str, Any]:
        task = call.task
        body: dict[str, Any] = {"prompt": task.prompt}
        if task.aspect_ratio:
            body["aspect_ratio"] = task.aspect_ratio
        elif task.width and call.mask is None:
            body["width"], body["height"] = task.width, task.height
        if call.seed is not None:
            body["seed"] = call.seed
        if task.output_format:
            body["output_format"] = task.output_format
        if task.moderation == "low":
            body["safety_tolerance"] = 5
        for index, picture in enumerate(call.inputs):
            if len(picture.data) > _MAX_INPUT_BYTES:
                raise invalid("image", "Black Forest Labs takes pictures of at most 20 MB.")
            body[_input_field(call.route.native, index)] = pybase64.b64encode_as_string(picture.data)
        if call.mask is not None:
            body["mask"] = pybase64.b64encode_as_string(call.mask.data)  # white = repaint, as ours
        return body

    def read_submit(self, call: Call, reply: Reply) -> Outcome:
        answer = reply.dict()
        # The cost is told here only, so it travels in the reference.
        cost = answer.get("cost")
        return Pending(f"{cost if isinstance(cost, int | float) else ''} {answer['polling_url']}", after=_FIRST_POLL)

    def poll(self, call: Call, ref: str) -> Outgoing:
        return Outgoing("GET", ref.partition(" ")[2])

    def read_poll(self, call: Call, ref: str, reply: Reply) -> Outcome:
        answer = reply.dict()
        match answer["status"]:
            case "Pending" | "Reasoning" | "Generating":
                progress = answer.get("progress")
                share = round(progress * 100) if isinstance(progress, int | float) and 0 <= progress <= 1 else None
                return Pending(ref, after=_PACE, progress=share)
            case "Ready":
                result = answer["result"]
                seed = result.get("seed")
                return Finished(
                    (Found(url=result["sample"], seed=seed if isinstance(seed, int) and seed >= 0 else None),),
                    cost=_cost(ref),
                )
            case "Request Moderated" | "Content Moderated" as status:
                what = "prompt or an input picture" if status.startswith("Request") else "result"
                return Failure(
                    ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
                    f"Black Forest Labs refused the {what} by its content policy.",
                    param="prompt" if status.startswith("Request") else "",
                    accepted=True,
                )
            case "Error" | "Failed":
                return Failure(
                    ErrorReason.ERROR_REASON_PROVIDER_ERROR,
                    "Black Forest Labs failed to make it.",
                    accepted=True,
                )
            case other:  # also "Task not found": right after a submit the task may not be visible yet
                return Unknown(str(other))

    def probe(self) -> Outgoing:
        return Outgoing("GET", "/credits")

    def read_error(self, call: Call, reply: Reply) -> Failure:
        detail = reply.dict().get("detail")
        if isinstance(detail, list) and detail:
            first = detail[0] if isinstance(detail[0], dict) else {}
            where = [str(part) for part in first.get("loc", [])[1:]]
            return self.errors.lookup(reply, detail=str(first.get("msg", "")), param=".".join(where))
        return self.errors.lookup(reply, detail=detail if isinstance(detail, str) else "")


def _input_field(native: str, index: int) -> str:
    if native in _SINGLE_INPUT:
        return _SINGLE_INPUT[native]
    return "input_image" if index == 0 else f"input_image_{index + 1}"


def _cost(ref: str) -> Cost | None:
    credits_used = ref.partition(" ")[0]
    if not credits_used:
        return None
    return Cost(amount=round(float(credits_used) * _USD_PER_CREDIT, 6), currency="USD", estimated=False)
