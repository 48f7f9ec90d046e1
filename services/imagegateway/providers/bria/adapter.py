"""Adapter of Bria's own API, version 2: submit, poll the status, fetch one image. There is no `n` and no cancel."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from imagegateway.providers.bria import operations
from imagegateway.providers.kit.adapter import Adapter
from imagegateway.providers.kit.call import InputImage
from imagegateway.providers.kit.error_table import ErrorTable, Failure, RefusedPart, moderation_failure, refused_part
from imagegateway.providers.kit.http_messages import HttpRequest, HttpResponse
from imagegateway.providers.kit.outcomes import Finished, Pending, ResultMedia, Unknown
from imagegateway.providers.kit.parsing import parse_seed, parse_text, parse_whole_number
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.outcomes import Outcome

# Polls count against the limit of requests per minute.
_FIRST_POLL: Final = 2.0
_POLL_INTERVAL: Final = 3.0

# Moderation has no separate code: only the text of a 422 names it. A failed task may name no status at all.
_REFUSAL_STATUSES: Final = frozenset({200, 400, 422})
_MODERATED: Final = re.compile(r"moderat|content[ _-]?policy|nsfw|unsafe|inappropriate", re.IGNORECASE)
_MODERATION: Final = "moderation"


class BriaAdapter(Adapter):
    """Adapter of the route `bria`.

    Source: Bria's OpenAPI documents and its pages on errors and rate limits, read 2026-11-22.
    """

    route = "bria"
    default_base_url = "https://engine.prod.bria-api.com"
    version = "/v2"
    # No 5xx is uncharged: a repeated POST is a new, billed job.
    errors = ErrorTable(
        provider="Bria",
        by_status={
            400: ErrorReason.ERROR_REASON_INVALID_VALUE,
            401: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
            403: ErrorReason.ERROR_REASON_PROVIDER_BILLING,
            404: ErrorReason.ERROR_REASON_MODEL_RETIRED,
            413: ErrorReason.ERROR_REASON_INVALID_IMAGE,
            415: ErrorReason.ERROR_REASON_INVALID_IMAGE,
            422: ErrorReason.ERROR_REASON_INVALID_VALUE,
            429: ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
            460: ErrorReason.ERROR_REASON_INVALID_IMAGE,
        },
        by_code={
            _MODERATION: ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
            "VALIDATION_ERROR": ErrorReason.ERROR_REASON_INVALID_VALUE,
        },
    )

    def auth_headers(self, credential: str) -> Mapping[str, str]:
        return {"api_token": credential}

    def probe(self) -> HttpRequest:
        # No request has this id: Bria answers 404 to valid keys and 401 to others.
        return HttpRequest("GET", "/status/00000000000000000000000000000000")

    def accepts_key(self, response: HttpResponse) -> bool:
        return response.status == 404 and response.json_object().get("status") == "NOT_FOUND"

    def submit(self, call: Call) -> HttpRequest:
        return HttpRequest(
            "POST", call.route.native_id, json=call.with_options(operations.arguments(call, InputImage.base64))
        )

    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        answer = response.json_object()
        if notice := parse_text(answer.get("warning")):  # about third-party rights, with the caller's `ip_signal`
            call.warn("provider_warning", "provider_options", f"Bria: {notice[:300]}")
        if "result" in answer:  # the caller's `sync` requests the whole result
            return _finished(call, answer["result"])
        if answer.get("error"):
            return self._failed(call, answer["error"])
        if not answer.get("request_id"):
            raise ValueError("no request_id")
        return Pending(str(answer["request_id"]), after=_FIRST_POLL)

    def poll(self, call: Call, ref: str) -> HttpRequest:
        return HttpRequest("GET", f"/status/{quote(ref, safe='')}")

    def read_poll(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        answer = response.json_object()
        match str(answer["status"]).upper():
            case "IN_PROGRESS":
                return Pending(ref, after=_POLL_INTERVAL)
            case "COMPLETED":
                return _finished(call, answer["result"])
            case "ERROR" | "FAILED" | "UNKNOWN":  # UNKNOWN names an internal error of Bria
                return self._failed(call, answer.get("error"))
            case other:
                return Unknown(other)

    def read_poll_error(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        outcome = super().read_poll_error(call, ref, response)
        if not isinstance(outcome, Failure):
            return outcome
        if response.status not in {401, 403}:
            # Bria reports failed tasks with status 200. A task that is not visible yet looks like an expired one.
            return Unknown(parse_text(response.json_object().get("status")) or f"HTTP {response.status}")
        return replace(outcome, may_be_billed=True)

    def read_error(self, call: Call, response: HttpResponse) -> Failure:
        answer = response.json_object()
        return self._failure(call, response, answer.get("error") or answer)

    def _failed(self, call: Call, error: Any) -> Failure:
        """Return the failure of a task, which Bria reports in a response with status 200."""
        code = str(error.get("code")) if isinstance(error, dict) else ""
        # The code is an HTTP status or a name.
        status = parse_whole_number(code) or 200
        return replace(self._failure(call, HttpResponse(status, {}, b""), error), may_be_billed=True)

    def _failure(self, call: Call, response: HttpResponse, error: Any) -> Failure:
        """Return the failure of an error object; moderation only for statuses of a refusal."""
        code = str(error.get("code", "")) if isinstance(error, dict) else ""
        text = _error_text(error)
        if response.status not in _REFUSAL_STATUSES or not _MODERATED.search(f"{code} {text}"):
            return self.errors.lookup(response, code=code, detail=text)
        refused = refused_part(call, text)
        return moderation_failure("Bria", refused, may_be_billed=refused is RefusedPart.RESULT)


def _error_text(error: Any) -> str:
    """Return the text of an error: an object with `message` and `details`, a string, or a list of field errors."""
    match error:
        case str():
            return error
        case list():
            return "; ".join(filter(None, map(_error_text, error)))
        case dict():
            parts = (error.get(name) for name in ("message", "msg", "details", "detail"))
            return ": ".join(filter(None, map(_error_text, parts)))
    return ""


def _finished(call: Call, result: dict[str, Any]) -> Finished:
    seed = parse_seed(result.get("seed"))
    return Finished(
        (
            ResultMedia(
                url=result["image_url"],
                seed=call.seed if seed is None else seed,
                revised_prompt=parse_text(result.get("refined_prompt")),
            ),
        )
    )
