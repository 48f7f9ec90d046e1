"""Google's errors: reasons of HTTP errors and of failed operations.

Source: ai.google.dev/gemini-api/docs/troubleshooting and error bodies in public issues, read 2026-11-22.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from google.rpc.code_pb2 import Code
from imagegateway.providers.google import wire
from imagegateway.providers.kit.error_table import (
    ErrorTable,
    Failure,
    RefusedPart,
    UnchargedErrors,
    moderation_failure,
)
from imagegateway.providers.kit.parsing import LONGEST_WAIT
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.http_messages import HttpResponse

ERRORS: Final = ErrorTable(
    provider="Google",
    by_status={
        400: ErrorReason.ERROR_REASON_INVALID_VALUE,
        401: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        403: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        404: ErrorReason.ERROR_REASON_MODEL_RETIRED,
        409: ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        410: ErrorReason.ERROR_REASON_MODEL_RETIRED,
        413: ErrorReason.ERROR_REASON_INVALID_IMAGE,
        429: ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        503: ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        504: ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
    },
    by_code={
        "INVALID_ARGUMENT": ErrorReason.ERROR_REASON_INVALID_VALUE,
        "OUT_OF_RANGE": ErrorReason.ERROR_REASON_INVALID_VALUE,
        "FAILED_PRECONDITION": ErrorReason.ERROR_REASON_PROVIDER_BILLING,
        "UNAUTHENTICATED": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        "PERMISSION_DENIED": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        "NOT_FOUND": ErrorReason.ERROR_REASON_MODEL_RETIRED,
        "ABORTED": ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        "RESOURCE_EXHAUSTED": ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        "UNAVAILABLE": ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        "DEADLINE_EXCEEDED": ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
        # Not statuses of Google: `_code` derives these from an error's details or message.
        "api key": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        "billing": ErrorReason.ERROR_REASON_PROVIDER_BILLING,
        "no quota": ErrorReason.ERROR_REASON_PROVIDER_BILLING,
        "policy": ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
    },
    # An overloaded model refuses before any work. The page does not state whether a 500 is charged.
    uncharged=UnchargedErrors(
        frozenset({503}), "https://ai.google.dev/gemini-api/docs/troubleshooting", date(2026, 11, 22)
    ),
)
BLOCKED: Final = frozenset(
    {
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "SAFETY",
        "PROHIBITED_CONTENT",
        "BLOCKLIST",
        "SPII",
        "IMAGE_RECITATION",
        "RECITATION",
    }
)
"""Finish reasons of blocked results."""

_DELAY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)s?")
_NO_QUOTA: Final = re.compile(r"\blimit: 0\b")
_POLICY: Final = re.compile(r"Responsible AI|usage guidelines", re.IGNORECASE)
"""Text by which Imagen and Veo refuse a prompt as INVALID_ARGUMENT."""
_STATUS_NAMES: Final = {400: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED"}
"""Status names for bodies without one, where the HTTP status alone does not decide."""
_INDEX: Final = re.compile(r"\[[^]]*\]")
_PARAMS: Final = {
    "aspectRatio": "size",
    "imageSize": "size",
    "sampleImageSize": "size",
    "resolution": "size",
    "durationSeconds": "seconds",
    "duration": "seconds",
    "sampleCount": "n",
    "negativePrompt": "negative_prompt",
    "inlineData": "image",
    "text": "prompt",
    "input": "prompt",
    "contents": "prompt",
}
"""Gateway parameters by Google field, where the names differ."""


def read_error(response: HttpResponse) -> Failure:
    """Return the failure of a response outside 2xx."""
    error = wire.body_of(response).get("error")
    return _failure(response, error if isinstance(error, dict) else {})


def embedded_error(response: HttpResponse) -> Failure | None:
    """Return the failure of the error in a 2xx response, such as a failed operation's; None without an error."""
    error = wire.body_of(response).get("error")
    return embedded_failure(response, error) if error and isinstance(error, dict) else None


def embedded_failure(response: HttpResponse, error: Mapping[str, Any]) -> Failure:
    """Return the failure of an error object in a 2xx response.

    The error's `code` is a gRPC number, an HTTP status or a status name.
    """
    code = str(error.get("code") or "")
    number = wire.parse_count(code)
    status = error.get("status")
    if not status and number:
        status = Code.Name(number) if number in Code.values() else ""
    if number >= 400:
        response = replace(response, status=number)
    return replace(_failure(response, {**error, "status": code if status is None else status}), may_be_billed=True)


def _failure(response: HttpResponse, error: Mapping[str, Any]) -> Failure:
    message = str(error.get("message") or "")
    failure = ERRORS.lookup(response, code=_code(response, error, message), detail=message, param=_param(error))
    if failure.reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
        return moderation_failure(ERRORS.provider, RefusedPart.PROMPT, may_be_billed=failure.may_be_billed)
    if failure.reason != ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED:
        return failure
    if any("PerDay" in str(violation.get("quotaId")) for violation in _detail_items(error, "violations")):
        return replace(failure, retry_after=LONGEST_WAIT)  # no call waits for a daily quota
    for detail in wire.objects(error.get("details")):
        delay = detail.get("retryDelay")
        seconds = _DELAY.fullmatch(str(delay.get("seconds") if isinstance(delay, dict) else delay))
        if seconds:
            return replace(failure, retry_after=float(seconds[1]))
    return failure


def _code(response: HttpResponse, error: Mapping[str, Any], message: str) -> str:
    """Return the error table's code: the status name, or a more precise one from the details and the message."""
    status = str(error.get("status") or _STATUS_NAMES.get(response.status, "")).upper()
    reasons = {str(detail.get("reason")) for detail in wire.objects(error.get("details"))}
    if any(reason.startswith("API_KEY_") for reason in reasons) or message.lower().startswith("api key "):
        return "api key"
    if "BILLING_DISABLED" in reasons:
        return "billing"
    if status in BLOCKED or (status == "INVALID_ARGUMENT" and _POLICY.search(message)):
        return "policy"
    quotas = _detail_items(error, "violations")
    if status == "RESOURCE_EXHAUSTED" and (
        _NO_QUOTA.search(message) or any(str(quota.get("quotaValue")) == "0" for quota in quotas)
    ):
        return "no quota"
    return status


def _param(error: Mapping[str, Any]) -> str:
    """Return the field that the error names, as a gateway parameter where the gateway has it."""
    for violation in _detail_items(error, "fieldViolations"):
        field = _INDEX.sub("", str(violation.get("field") or ""))
        name = wire.camel_case_name(field.rpartition(".")[2])
        return _PARAMS.get(name, name)
    return ""


def _detail_items(error: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the objects of the list `name` in all details of an error."""
    return [item for detail in wire.objects(error.get("details")) for item in wire.objects(detail.get(name))]
