"""Google's errors as reasons: of an HTTP answer, and of an operation that failed.

Source: ai.google.dev/gemini-api/docs/troubleshooting and error bodies in public issues, read 2026-11-22.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from google.rpc.code_pb2 import Code
from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.common.adapter import ErrorTable, Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from services.common.adapter import Reply

ERRORS: Final = ErrorTable(
    provider="Google",
    by_status={
        400: ErrorReason.ERROR_REASON_INVALID_VALUE,
        401: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        403: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        404: ErrorReason.ERROR_REASON_MODEL_RETIRED,
        410: ErrorReason.ERROR_REASON_MODEL_RETIRED,
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
        # Not statuses: what the details or the words of one make of it.
        "api key": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        "billing": ErrorReason.ERROR_REASON_PROVIDER_BILLING,
        "no quota": ErrorReason.ERROR_REASON_PROVIDER_BILLING,
        "policy": ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
    },
)
_DAY: Final = 3600.0
"""A day's quota is not waited for; callers are told the longest wait that there is."""
_DELAY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)s")
_NO_QUOTA: Final = re.compile(r"\blimit: 0\b")
_POLICY: Final = re.compile(r"Responsible AI|usage guidelines", re.IGNORECASE)
"""Imagen and Veo refuse prompts as INVALID_ARGUMENT, in these words."""


def of_reply(reply: Reply) -> Failure:
    """What an answer outside 2xx says; streams wrap the error in a list."""
    body = reply.json
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error") if isinstance(body, dict) else None
    return _failure(reply, error if isinstance(error, dict) else {})


def of_operation(reply: Reply, error: Mapping[str, Any]) -> Failure:
    """What the error of a finished operation says; its `code` is a gRPC number."""
    code = error.get("code")
    known = isinstance(code, int) and code in Code.values()
    status = error.get("status") or (Code.Name(code) if known else "")
    return replace(_failure(reply, {**error, "status": status}), accepted=True)


def _failure(reply: Reply, error: Mapping[str, Any]) -> Failure:
    message = str(error.get("message") or "")
    failure = ERRORS.lookup(reply, code=_code(error, message), detail=message)
    if failure.reason != ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED:
        return failure
    if any("PerDay" in str(violation.get("quotaId")) for violation in _violations(error)):
        return replace(failure, retry_after=_DAY)
    for detail in _details(error):
        delay = _DELAY.fullmatch(str(detail.get("retryDelay", "")))
        if delay:
            return replace(failure, retry_after=min(float(delay[1]), _DAY))
    return failure


def _code(error: Mapping[str, Any], message: str) -> str:
    status = str(error.get("status") or "")
    reasons = {str(detail.get("reason")) for detail in _details(error)}
    if any(reason.startswith("API_KEY_") for reason in reasons) or message.startswith("API key "):
        return "api key"
    if "BILLING_DISABLED" in reasons:
        return "billing"
    if status == "INVALID_ARGUMENT" and _POLICY.search(message):
        return "policy"
    if status == "RESOURCE_EXHAUSTED" and (
        _NO_QUOTA.search(message) or any(str(found.get("quotaValue")) == "0" for found in _violations(error))
    ):
        return "no quota"
    return status


def _details(error: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    details = error.get("details")
    yield from (detail for detail in (details if isinstance(details, list) else []) if isinstance(detail, dict))


def _violations(error: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for detail in _details(error):
        violations = detail.get("violations")
        yield from (item for item in (violations if isinstance(violations, list) else []) if isinstance(item, dict))
