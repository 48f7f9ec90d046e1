"""Adapter of Black Forest Labs' own API: submit a task, poll it, fetch one image. There is no `n` and no cancel."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from imagegateway.platform.errors import invalid
from imagegateway.providers.bfl import video
from imagegateway.providers.bfl.catalog import INPUT_FIELDS, KEEPS_SIZE
from imagegateway.providers.catalog import Modality
from imagegateway.providers.kit import unsupported_options
from imagegateway.providers.kit.adapter import Adapter
from imagegateway.providers.kit.error_table import ErrorTable, Failure, RefusedPart, moderation_failure, refused_part
from imagegateway.providers.kit.http_messages import HttpRequest
from imagegateway.providers.kit.outcomes import Finished, Pending, ResultMedia, Unknown
from imagegateway.providers.pricing import stated_cost
from imagegateway.providers.sizes import AspectRatioSizes
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.http_messages import HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome

_FIRST_POLL: Final = 0.5
_POLL_INTERVAL: Final = 1.5
_NANODOLLARS_PER_CREDIT: Final = 10_000_000
_MAX_INPUT_BYTES: Final = 20_000_000
_JSON: Final = {"accept": "application/json"}
_NOT_FOUND: Final = "Task not found"

_PARAMS: Final = {
    "aspect_ratio": "size",
    "duration": "seconds",
    "height": "size",
    "image_prompt": "image",
    "resolution": "size",
    "safety_tolerance": "moderation",
    "width": "size",
}
"""Gateway parameters by BFL field, where the names differ."""


class BflAdapter(Adapter):
    """Adapter of the route `bfl`. Source: docs.bfl.ai and BFL's OpenAPI document, read 2026-11-22."""

    route = "bfl"
    default_base_url = "https://api.bfl.ai"
    version = "/v1"
    trusted_hosts = ("*.bfl.ai",)
    timeout_seconds = 60.0
    # No 5xx is uncharged: BFL's page warns that such a submit may have been charged.
    errors = ErrorTable(
        provider="Black Forest Labs",
        by_status={
            400: ErrorReason.ERROR_REASON_INVALID_VALUE,
            401: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            402: ErrorReason.ERROR_REASON_PROVIDER_BILLING,
            403: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            404: ErrorReason.ERROR_REASON_MODEL_RETIRED,
            408: ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
            422: ErrorReason.ERROR_REASON_INVALID_VALUE,
            429: ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
            504: ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
        },
    )

    def auth_headers(self, credential: str) -> Mapping[str, str]:
        return {"x-key": credential}

    def submit(self, call: Call) -> HttpRequest:
        path = f"/{call.route.native_id}"
        body = video.body(call) if call.model.modality == Modality.VIDEO else self._body(call)
        return HttpRequest("POST", path, json=call.with_options(body), headers=_JSON)

    @staticmethod
    def _body(call: Call) -> dict[str, Any]:
        task = call.task
        body: dict[str, Any] = {"prompt": task.prompt, **_size(call)}
        if call.seed is not None:
            body["seed"] = call.seed
        if task.output_format:
            # The gateway encodes a requested quality itself, from a lossless PNG.
            body["output_format"] = "png" if task.HasField("output_compression") else task.output_format
        if task.moderation == "low":
            body["safety_tolerance"] = 5
        unsupported_options.warn_fields(call, "input_fidelity")
        for index, image in enumerate(call.inputs):
            if len(image.data) > _MAX_INPUT_BYTES:
                raise invalid("image", "Black Forest Labs takes images of at most 20 MB.")
            body[_input_field(call.route.native_id, index)] = image.base64()
        if call.mask is not None:
            body["mask"] = call.mask.base64()  # white = edit, in the gateway's masks and in BFL's
        return body

    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        answer = response.json_object()
        url = answer.get("polling_url")
        if not (isinstance(url, str) and url.startswith(("https://", "http://"))):
            # BFL omits the polling URL when the caller sets webhook_url.
            url = f"/get_result?id={quote(str(answer['id']), safe='')}"
        # Only this response states the cost, so the task reference carries it.
        return Pending(f"{_credits(answer.get('cost'))} {url}", after=_FIRST_POLL)

    def poll(self, call: Call, ref: str) -> HttpRequest:
        return HttpRequest("GET", ref.partition(" ")[2], headers=_JSON)

    def read_poll(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        answer = response.json_object()
        state = str(answer["status"])
        match state.strip().casefold():
            case "pending" | "reasoning" | "generating":
                progress = answer.get("progress")
                percent = round(progress * 100) if isinstance(progress, int | float) and 0 <= progress <= 1 else None
                return Pending(ref, after=_POLL_INTERVAL, progress=percent)
            case "ready":
                result = answer["result"]
                seed = result.get("seed")
                known = isinstance(seed, int) and 0 <= seed < 1 << 32
                return Finished(
                    (ResultMedia(url=str(result["sample"]), seed=seed if known else None),),
                    cost=stated_cost(ref.partition(" ")[0], _NANODOLLARS_PER_CREDIT),
                )
            case "request moderated":
                return _moderated(answer, refused_part(call))
            case "content moderated":
                return _moderated(answer, RefusedPart.RESULT)
            case "error" | "failed":
                return Failure(
                    ErrorReason.ERROR_REASON_PROVIDER_ERROR,
                    "Black Forest Labs failed to make the result.",
                    may_be_billed=True,
                )
        return Unknown(state)  # includes "Task not found": a new task may not be visible yet

    def read_poll_error(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        """Return the outcome of a failed poll. A task that is missing or not yet visible may be answered with 404; no
        other 4xx is the caller's fault.
        """
        if response.status < 500 and isinstance(response.json_object().get("status"), str):
            return self.read_poll(call, ref, response)
        if response.status == 404:
            return Unknown(_NOT_FOUND)
        outcome = super().read_poll_error(call, ref, response)
        if isinstance(outcome, Failure) and outcome.reason == ErrorReason.ERROR_REASON_INVALID_VALUE:
            return Failure(
                ErrorReason.ERROR_REASON_PROVIDER_ERROR,
                "Black Forest Labs did not report the state of the task.",
                may_be_billed=True,
            )
        return outcome

    def probe(self) -> HttpRequest:
        return HttpRequest("GET", "/credits", headers=_JSON)

    def read_error(self, call: Call, response: HttpResponse) -> Failure:
        answer = response.json_object()
        detail = answer.get("detail")
        field = ""
        if isinstance(detail, list):
            first = detail[0] if detail and isinstance(detail[0], dict) else {}
            path = first.get("loc")
            field = ".".join(map(str, path[1:])) if isinstance(path, list) else ""
            detail = first.get("msg")
        text = detail or answer.get("message")
        failure = self.errors.lookup(
            response, detail=text if isinstance(text, str) else "", param=_param(call, field) if field else ""
        )
        wait = answer.get("retry_after")
        if failure.retry_after is None and isinstance(wait, int | float) and wait >= 0:
            return replace(failure, retry_after=float(wait))
        return failure


def _size(call: Call) -> dict[str, Any]:
    """Return the size fields, as an aspect ratio or as pixels; empty for a model that keeps its input's size."""
    task = call.task
    if call.route.native_id in KEEPS_SIZE:
        unsupported_options.warn_size(call)
        return {}
    if isinstance(call.model.sizes, AspectRatioSizes):
        return {"aspect_ratio": task.aspect_ratio} if task.aspect_ratio else {}
    return {"width": task.width, "height": task.height} if task.width else {}


def _input_field(native: str, index: int) -> str:
    """Return BFL's field for the input image number `index`, from 0."""
    if native in INPUT_FIELDS:
        return INPUT_FIELDS[native]
    return "input_image" if index == 0 else f"input_image_{index + 1}"


def _param(call: Call, field: str) -> str:
    """Return the gateway's name of a BFL field."""
    name = field.partition(".")[0]
    if name in call.options:
        return f"provider_options.{field}"
    return "image" if name.startswith("input_image") else _PARAMS.get(name, name)


def _moderated(answer: Mapping[str, Any], refused: RefusedPart) -> Failure:
    details = answer.get("details")
    reasons = details.get("Moderation Reasons") if isinstance(details, dict) else None
    categories = reasons if isinstance(reasons, list) else ()
    return moderation_failure("Black Forest Labs", refused, may_be_billed=True, categories=categories)


def _credits(cost: Any) -> str:
    """Return a cost as a plain decimal number; empty for a cost that is not a number of 0 or more."""
    return "" if stated_cost(cost, _NANODOLLARS_PER_CREDIT) is None else str(float(cost))
