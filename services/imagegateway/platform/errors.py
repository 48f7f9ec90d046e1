"""Errors for callers: the table of reasons, and the exception that carries a reason.

`REASONS` is the only mapping from a reason to a status. The gRPC interceptor, the REST body, the job record and the
media server read it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from grpc import StatusCode
from imagegateway.platform.logs import LogLevel
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Mapping

DOMAIN: Final = "imagegateway"
_PREFIX: Final = "ERROR_REASON_"
UNAVAILABLE_SECONDS: Final = 5.0
"""`Retry-After` while a part of the gateway is unavailable, in seconds."""


class ErrorType(StrEnum):
    """`type` in OpenAI's error body."""

    INVALID_REQUEST_ERROR = "invalid_request_error"
    IMAGE_GENERATION_USER_ERROR = "image_generation_user_error"
    AUTHENTICATION_ERROR = "authentication_error"
    INSUFFICIENT_QUOTA = "insufficient_quota"
    PERMISSION_ERROR = "permission_error"
    RATE_LIMIT_ERROR = "rate_limit_error"
    SERVER_ERROR = "server_error"
    PROVIDER_ERROR = "provider_error"
    TIMEOUT_ERROR = "timeout_error"


@dataclass(frozen=True, slots=True)
class Meaning:
    """Meaning of a reason: statuses, OpenAI's error type, log level, and the consequences of a repeat.

    `retry`: a repeat of the call can't pay twice. OpenAI's SDKs repeat 408, 409, 429 and 5xx on their own, so a
    response with `retry=False` in that range carries `x-should-retry: false`. `may_be_billed`: the provider may
    charge for the failed call, at least in some cases.
    """

    grpc: StatusCode
    http: int
    type: ErrorType
    retry: bool
    level: LogLevel
    may_be_billed: bool = False


def _invalid(http: int) -> Meaning:
    return Meaning(
        StatusCode.INVALID_ARGUMENT, http, ErrorType.INVALID_REQUEST_ERROR, retry=False, level=LogLevel.INFO
    )


_INVALID = _invalid(400)
_NOT_FOUND = Meaning(StatusCode.NOT_FOUND, 404, ErrorType.INVALID_REQUEST_ERROR, retry=False, level=LogLevel.INFO)

REASONS: Final[Mapping[ErrorReason.ValueType, Meaning]] = {
    ErrorReason.ERROR_REASON_INVALID_JSON: _INVALID,
    ErrorReason.ERROR_REASON_MISSING_PARAMETER: _INVALID,
    ErrorReason.ERROR_REASON_INVALID_VALUE: _INVALID,
    ErrorReason.ERROR_REASON_UNSUPPORTED_PARAMETER: _INVALID,
    ErrorReason.ERROR_REASON_INVALID_IMAGE: _INVALID,
    ErrorReason.ERROR_REASON_INVALID_IMAGE_URL: _INVALID,
    ErrorReason.ERROR_REASON_MODERATION_BLOCKED: Meaning(
        StatusCode.INVALID_ARGUMENT,
        400,
        ErrorType.IMAGE_GENERATION_USER_ERROR,
        retry=False,
        level=LogLevel.INFO,
        may_be_billed=True,
    ),
    ErrorReason.ERROR_REASON_INVALID_API_KEY: Meaning(
        StatusCode.UNAUTHENTICATED, 401, ErrorType.AUTHENTICATION_ERROR, retry=False, level=LogLevel.INFO
    ),
    ErrorReason.ERROR_REASON_BUDGET_EXCEEDED: Meaning(
        StatusCode.RESOURCE_EXHAUSTED, 402, ErrorType.INSUFFICIENT_QUOTA, retry=False, level=LogLevel.INFO
    ),
    ErrorReason.ERROR_REASON_PRICE_UNKNOWN: Meaning(
        StatusCode.RESOURCE_EXHAUSTED, 402, ErrorType.INSUFFICIENT_QUOTA, retry=False, level=LogLevel.INFO
    ),
    ErrorReason.ERROR_REASON_INSUFFICIENT_SCOPE: Meaning(
        StatusCode.PERMISSION_DENIED, 403, ErrorType.PERMISSION_ERROR, retry=False, level=LogLevel.INFO
    ),
    ErrorReason.ERROR_REASON_MODEL_NOT_ALLOWED: Meaning(
        StatusCode.PERMISSION_DENIED, 403, ErrorType.PERMISSION_ERROR, retry=False, level=LogLevel.INFO
    ),
    ErrorReason.ERROR_REASON_BYOK_REQUIRED: Meaning(
        StatusCode.PERMISSION_DENIED, 403, ErrorType.PERMISSION_ERROR, retry=False, level=LogLevel.INFO
    ),
    ErrorReason.ERROR_REASON_INVALID_SIGNATURE: Meaning(
        StatusCode.PERMISSION_DENIED, 403, ErrorType.PERMISSION_ERROR, retry=False, level=LogLevel.INFO
    ),
    ErrorReason.ERROR_REASON_MODEL_NOT_FOUND: _NOT_FOUND,
    ErrorReason.ERROR_REASON_MODEL_RETIRED: _NOT_FOUND,
    ErrorReason.ERROR_REASON_JOB_NOT_FOUND: _NOT_FOUND,
    ErrorReason.ERROR_REASON_NOT_FOUND: _NOT_FOUND,
    ErrorReason.ERROR_REASON_UNKNOWN_URL: _NOT_FOUND,
    ErrorReason.ERROR_REASON_REQUEST_TIMEOUT: Meaning(
        StatusCode.DEADLINE_EXCEEDED, 408, ErrorType.INVALID_REQUEST_ERROR, retry=True, level=LogLevel.INFO
    ),
    ErrorReason.ERROR_REASON_FILE_TOO_LARGE: _invalid(413),
    ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE: _invalid(413),
    ErrorReason.ERROR_REASON_UNSUPPORTED_MEDIA_TYPE: _invalid(415),
    ErrorReason.ERROR_REASON_IDEMPOTENCY_KEY_MISMATCH: _invalid(422),
    ErrorReason.ERROR_REASON_RATE_LIMIT_EXCEEDED: Meaning(
        StatusCode.RESOURCE_EXHAUSTED, 429, ErrorType.RATE_LIMIT_ERROR, retry=True, level=LogLevel.INFO
    ),
    ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED: Meaning(
        StatusCode.RESOURCE_EXHAUSTED, 429, ErrorType.RATE_LIMIT_ERROR, retry=True, level=LogLevel.WARNING
    ),
    ErrorReason.ERROR_REASON_SUBSCRIBER_TOO_SLOW: Meaning(
        StatusCode.RESOURCE_EXHAUSTED, 429, ErrorType.RATE_LIMIT_ERROR, retry=True, level=LogLevel.INFO
    ),
    ErrorReason.ERROR_REASON_CANCELLED: Meaning(
        StatusCode.CANCELLED,
        499,
        ErrorType.INVALID_REQUEST_ERROR,
        retry=False,
        level=LogLevel.INFO,
        may_be_billed=True,
    ),
    ErrorReason.ERROR_REASON_INTERNAL: Meaning(
        StatusCode.INTERNAL, 500, ErrorType.SERVER_ERROR, retry=False, level=LogLevel.ERROR, may_be_billed=True
    ),
    ErrorReason.ERROR_REASON_NOT_IMPLEMENTED: Meaning(
        StatusCode.UNIMPLEMENTED, 501, ErrorType.SERVER_ERROR, retry=False, level=LogLevel.INFO
    ),
    ErrorReason.ERROR_REASON_PROVIDER_ERROR: Meaning(
        StatusCode.INTERNAL, 502, ErrorType.PROVIDER_ERROR, retry=False, level=LogLevel.WARNING, may_be_billed=True
    ),
    ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE: Meaning(
        StatusCode.INTERNAL, 502, ErrorType.PROVIDER_ERROR, retry=False, level=LogLevel.WARNING, may_be_billed=True
    ),
    ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS: Meaning(
        StatusCode.FAILED_PRECONDITION,
        502,
        ErrorType.PROVIDER_ERROR,
        retry=False,
        level=LogLevel.ERROR,
        may_be_billed=True,
    ),
    ErrorReason.ERROR_REASON_PROVIDER_BILLING: Meaning(
        StatusCode.FAILED_PRECONDITION,
        502,
        ErrorType.PROVIDER_ERROR,
        retry=False,
        level=LogLevel.ERROR,
        may_be_billed=True,
    ),
    ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN: Meaning(
        StatusCode.INTERNAL, 502, ErrorType.PROVIDER_ERROR, retry=False, level=LogLevel.WARNING, may_be_billed=True
    ),
    ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE: Meaning(
        StatusCode.UNAVAILABLE, 503, ErrorType.SERVER_ERROR, retry=True, level=LogLevel.WARNING
    ),
    ErrorReason.ERROR_REASON_PROVIDER_NOT_CONFIGURED: Meaning(
        StatusCode.UNAVAILABLE, 503, ErrorType.SERVER_ERROR, retry=False, level=LogLevel.WARNING
    ),
    ErrorReason.ERROR_REASON_OVERLOADED: Meaning(
        StatusCode.UNAVAILABLE, 503, ErrorType.SERVER_ERROR, retry=True, level=LogLevel.WARNING
    ),
    ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE: Meaning(
        StatusCode.UNAVAILABLE, 503, ErrorType.SERVER_ERROR, retry=True, level=LogLevel.ERROR
    ),
    ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT: Meaning(
        StatusCode.DEADLINE_EXCEEDED,
        504,
        ErrorType.TIMEOUT_ERROR,
        retry=False,
        level=LogLevel.WARNING,
        may_be_billed=True,
    ),
    ErrorReason.ERROR_REASON_EXPIRED: Meaning(
        StatusCode.NOT_FOUND, 410, ErrorType.INVALID_REQUEST_ERROR, retry=False, level=LogLevel.INFO
    ),
    ErrorReason.ERROR_REASON_WEBHOOK_SECRET_UNREADABLE: Meaning(
        StatusCode.FAILED_PRECONDITION, 410, ErrorType.INVALID_REQUEST_ERROR, retry=False, level=LogLevel.ERROR
    ),
}


def code_of(reason: ErrorReason.ValueType) -> str:
    """Return the REST `code` of a reason: its name in lower case, without prefix."""
    return ErrorReason.Name(reason).removeprefix(_PREFIX).lower()


def reason_of(code: str) -> ErrorReason.ValueType:
    """Return the reason of a REST `code`. Raises ValueError for an unknown one."""
    return ErrorReason.Value(f"{_PREFIX}{code.upper()}")


@dataclass(slots=True)
class GatewayError(Exception):
    """Error for the caller.

    `message` is one sentence without internals. `details` repeat the variable parts of the message as strings of at
    most a few hundred bytes, since they travel in gRPC metadata. `retry_after` is in seconds.
    """

    reason: ErrorReason.ValueType
    message: str
    param: str | None = None
    retry_after: float | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    paid: bool = False
    """The work is done, so a repeat pays for it again. Overrides the meaning of the reason."""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def meaning(self) -> Meaning:
        return REASONS[self.reason]

    @property
    def code(self) -> str:
        return code_of(self.reason)

    @property
    def retry_seconds(self) -> float | None:
        """Return the seconds until a repeat makes sense: at least 1, always set for 429 and 503; None: unknown."""
        if self.retry_after is None:
            return 1.0 if self.meaning.http in {429, 503} else None
        return max(1.0, self.retry_after)

    def http_headers(self) -> dict[str, str]:
        """Return the headers of the HTTP response: `retry-after`, and `x-should-retry` against a repeat that pays."""
        headers: dict[str, str] = {}
        if self.retry_seconds is not None:
            headers["retry-after"] = str(math.ceil(self.retry_seconds))
        if self.meaning.http >= 500 and (self.paid or not self.meaning.retry):
            headers["x-should-retry"] = "false"
        return headers

    def body(self) -> dict[str, dict[str, str | None]]:
        """Return OpenAI's error body."""
        return {
            "error": {
                "message": self.message,
                "type": self.meaning.type,
                "param": self.param,
                "code": self.code,
            }
        }


class UnavailableError(Exception):
    """A part of the gateway is unavailable. The message for callers names the part and the fault."""

    def as_gateway_error(self) -> GatewayError:
        """Return the error for the caller."""
        message = str(self)
        return GatewayError(
            ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
            f"{message[:1].upper()}{message[1:]}; try again later.",
            retry_after=UNAVAILABLE_SECONDS,
        )


class UnansweredError(UnavailableError):
    """A part of the gateway does not answer. A restart makes a part unavailable for seconds."""


class ElectionError(UnansweredError):
    """The job store's servers can be reached and do not answer: they may be electing a leader."""


def missing(param: str, message: str | None = None) -> GatewayError:
    """Return the error for an absent required field."""
    return GatewayError(ErrorReason.ERROR_REASON_MISSING_PARAMETER, message or f"{param} is required.", param=param)


def invalid(param: str, message: str) -> GatewayError:
    """Return the error for a field whose value is malformed or out of range."""
    return GatewayError(ErrorReason.ERROR_REASON_INVALID_VALUE, message, param=param)


def unsupported(param: str, message: str) -> GatewayError:
    """Return the error for a field that the model or the protocol does not support."""
    return GatewayError(ErrorReason.ERROR_REASON_UNSUPPORTED_PARAMETER, message, param=param)


def invalid_image(param: str, message: str) -> GatewayError:
    """Return the error for an input that is not a whole image within the limits."""
    return GatewayError(ErrorReason.ERROR_REASON_INVALID_IMAGE, message, param=param)


INTERNAL: Final = GatewayError(ErrorReason.ERROR_REASON_INTERNAL, "The gateway failed. Its log has the request id.")
"""Internal error. Only the log has the cause."""
