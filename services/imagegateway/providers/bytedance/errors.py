"""ModelArk's error codes, for both images and videos.

Source: ModelArk's page on error codes (1299023) and live responses of September 2026, read 2026-11-22.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from imagegateway.providers.kit.error_table import ErrorTable, Failure, RefusedPart, moderation_failure, refused_part
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.http_messages import HttpResponse

_BUSY_SECONDS: Final = 5.0
"""Seconds to wait after a 429 that names no wait."""

_REQUEST_ID: Final = re.compile(r"\s*Request id: \S*", re.IGNORECASE)
_MODERATED: Final = re.compile(r"SensitiveContent|RiskDetection")
_MODERATION: Final = "moderation"
# Refused part by the prefix of the error code.
_REFUSED: Final = {
    "InputText": RefusedPart.PROMPT,
    "InputImage": RefusedPart.INPUT,
    "Output": RefusedPart.RESULT,
}

# Gateway parameters by ModelArk field, where the names differ.
_PARAMS: Final = {"ratio": "size", "resolution": "size", "duration": "seconds", "content": "prompt"}
_PATH: Final = re.compile(r"[.\[]")

# Of all 5xx, only ServerOverloaded states that nothing began: InternalServiceError may have been billed.
TABLE: Final = ErrorTable(
    provider="ByteDance",
    by_status={
        400: ErrorReason.ERROR_REASON_INVALID_VALUE,
        401: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        402: ErrorReason.ERROR_REASON_PROVIDER_BILLING,
        403: ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        404: ErrorReason.ERROR_REASON_MODEL_RETIRED,
        413: ErrorReason.ERROR_REASON_INVALID_IMAGE,
        429: ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        504: ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
    },
    by_code={
        _MODERATION: ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
        "MissingParameter": ErrorReason.ERROR_REASON_INVALID_VALUE,
        "InvalidParameter": ErrorReason.ERROR_REASON_INVALID_VALUE,
        "InvalidImageURL": ErrorReason.ERROR_REASON_INVALID_IMAGE,
        # The operator's endpoint, account or activation: the caller cannot correct these.
        "InvalidEndpoint": ErrorReason.ERROR_REASON_PROVIDER_ERROR,
        "AuthenticationError": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        "InvalidAccountStatus": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        "AccessDenied": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        "InvalidEndpointOrModel": ErrorReason.ERROR_REASON_MODEL_RETIRED,
        "UnsupportedModel": ErrorReason.ERROR_REASON_MODEL_RETIRED,
        "InvalidEndpointOrModel.ModelIDAccessDisabled": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        "ModelNotOpen": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        "OperationDenied": ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS,
        "AccountOverdueError": ErrorReason.ERROR_REASON_PROVIDER_BILLING,
        "QuotaExceeded": ErrorReason.ERROR_REASON_PROVIDER_BILLING,
        "SetLimitExceeded": ErrorReason.ERROR_REASON_PROVIDER_BILLING,
        "ModelAccountIpmRateLimitExceeded": ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        "ModelAccountRpmRateLimitExceeded": ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        "APIAccountRpmRateLimitExceeded": ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        "RateLimitExceeded": ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        "AccountRateLimitExceeded": ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        "RequestBurstTooFast": ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        "InflightBatchsizeExceeded": ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED,
        "ServerOverloaded": ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
    },
)


def failure(call: Call, response: HttpResponse, error: Mapping[str, Any]) -> Failure:
    """Return the failure of an error object with `code`, `message` and `param`. Suffixes of codes rarely matter."""
    is_success = response.status < 300
    code = str(error.get("code") or "")
    if _MODERATED.search(code):
        refused = next((part for start, part in _REFUSED.items() if code.startswith(start)), refused_part(call))
        return moderation_failure("ByteDance", refused, may_be_billed=refused is RefusedPart.RESULT or is_success)
    known = code if code in TABLE.by_code else code.partition(".")[0]
    found = TABLE.lookup(
        response,
        code=known,
        detail=_REQUEST_ID.sub("", str(error.get("message") or "")),
        param=_param(error),
    )
    if response.status == 429 and found.retry_after is None:
        found = replace(found, retry_after=_BUSY_SECONDS)
    return replace(found, may_be_billed=True) if is_success else found


def error_of(response: HttpResponse) -> Mapping[str, Any]:
    """Return the error object of a response: wrapped as documented, flat from the size check, or a header's code."""
    answer = response.json_object()
    wrapped = answer.get("error")
    if isinstance(wrapped, dict):
        return wrapped
    if isinstance(answer.get("code"), str):
        return answer
    return {"code": response.headers.get("x-error-code", "")}


def _param(error: Mapping[str, Any]) -> str:
    field = _PATH.split(str(error.get("param") or ""))[0]
    return _PARAMS.get(field, field)
