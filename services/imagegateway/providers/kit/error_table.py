"""Provider failures: each provider's table of statuses and codes, and the message of a content policy's refusal."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from imagegateway.providers.kit.parsing import parse_retry_after
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.http_messages import HttpResponse

    Reason: TypeAlias = ErrorReason.ValueType


@dataclass(frozen=True, slots=True)
class Failure:
    """Failure of a call. `message` is for callers: the provider's raw text only where it concerns their own input."""

    reason: Reason
    message: str
    param: str = ""
    retry_after: float | None = None
    """Seconds."""
    may_be_billed: bool = False
    """False: the provider certainly accepted nothing, so a retry costs nothing."""
    retry_once: bool = False
    """The provider made no image, and one more call is allowed, with either payer."""


def bad_response(what: str) -> Failure:
    """Return the failure for a response that differs from the provider's documentation; it may be billed."""
    return Failure(ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, f"The provider {what}", may_be_billed=True)


# ---- moderation


class RefusedPart(Enum):
    """Part of a request that a content policy refused: its name in messages, and the request field to blame."""

    PROMPT = ("prompt", "prompt")
    INPUT = ("input image", "image")
    PROMPT_OR_INPUT = ("prompt or an input image", "prompt")
    RESULT = ("result", "")
    PROMPT_OR_RESULT = ("prompt or the result", "prompt")

    @property
    def noun(self) -> str:
        """Return the part's name in messages."""
        return self.value[0]

    @property
    def param(self) -> str:
        """Return the request field to blame; empty for the result."""
        return self.value[1]


_OUTPUT: Final = re.compile(r"(?<![a-z])output|\bgenerated\b", re.IGNORECASE)
_INPUT: Final = re.compile(r"image|picture|visual|photo", re.IGNORECASE)
_PROMPT: Final = re.compile(r"prompt|text", re.IGNORECASE)
_MAX_CATEGORIES: Final = 10


def moderation_failure(
    provider: str, refused: RefusedPart, *, may_be_billed: bool, categories: Iterable[object] = ()
) -> Failure:
    """Return the failure for content that a provider's policy refused.

    `categories`: the provider's own names of the violations; at most 10 are shown, 40 characters each.
    """
    names = [str(name)[:40] for name in categories][:_MAX_CATEGORIES]
    found = f" ({', '.join(names)})" if names else ""
    return Failure(
        ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
        f"The content policy of {provider} refused the {refused.noun}{found}.",
        param=refused.param,
        may_be_billed=may_be_billed,
    )


def refused_part(call: Call, words: str = "") -> RefusedPart:
    """Return the part that a provider refused before any work: from its `words`, else from the call's inputs."""
    if _OUTPUT.search(words):
        return RefusedPart.RESULT
    if not call.task.inputs:
        return RefusedPart.PROMPT
    if not call.task.prompt:
        return RefusedPart.INPUT
    match bool(_PROMPT.search(words)), bool(_INPUT.search(words)):
        case True, False:
            return RefusedPart.PROMPT
        case False, True:
            return RefusedPart.INPUT
    return RefusedPart.PROMPT_OR_INPUT


# ---- tables


@dataclass(frozen=True, slots=True)
class UnchargedErrors:
    """5xx statuses of a submit that are free by the provider's documentation: such a call is made once more."""

    statuses: frozenset[int]
    page: str
    """The provider's page that says so."""
    checked: date
    """Day on which that page was last read."""


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """Table of a provider's errors: `by_code`, by the provider's own error code, precedes `by_status`.

    Statuses in neither are PROVIDER_ERROR: a 4xx is free, a 5xx may be billed. A timeout may be billed whatever its
    status.
    """

    provider: str
    by_status: Mapping[int, Reason]
    by_code: Mapping[str, Reason] = field(default_factory=dict)
    uncharged: UnchargedErrors | None = None
    """None: by the provider's documentation any 5xx may be charged, so none is repeated."""

    def lookup(self, response: HttpResponse, code: str = "", detail: str = "", param: str = "") -> Failure:
        """Return the failure of an error response.

        `detail`: the provider's words, shown only for an error of the caller's own input, as is `param`.
        """
        reason = self.by_code.get(code) or self.by_status.get(
            response.status, ErrorReason.ERROR_REASON_PROVIDER_ERROR
        )
        if reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
            return moderation_failure(
                self.provider, RefusedPart.PROMPT_OR_INPUT, may_be_billed=response.status >= 500
            )
        blames_caller = reason in CALLER_ERRORS
        message = f"{self.provider} {_PREDICATES.get(reason, 'failed')}"
        is_server_error = response.status >= 500
        may_be_billed = reason == ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT or (
            is_server_error and not self._is_uncharged(response, code)
        )
        return Failure(
            reason=reason,
            message=f"{message}: {detail[:300]}" if blames_caller and detail else f"{message}.",
            param=param if blames_caller else "",
            retry_after=parse_retry_after(response.headers),
            may_be_billed=may_be_billed,
            retry_once=is_server_error and not may_be_billed,
        )

    def _is_uncharged(self, response: HttpResponse, code: str) -> bool:
        """Return whether a 5xx is certainly free: by its status, or by a code that means that no work began."""
        named = self.by_code.get(code) in NOT_STARTED
        return named or (self.uncharged is not None and response.status in self.uncharged.statuses)


CALLER_ERRORS: Final = frozenset(
    {
        ErrorReason.ERROR_REASON_INVALID_VALUE,
        ErrorReason.ERROR_REASON_INVALID_IMAGE,
        ErrorReason.ERROR_REASON_UNSUPPORTED_PARAMETER,
    }
)
"""Reasons that blame the caller's own input."""
NOT_STARTED: Final = frozenset(
    {ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED, ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE}
)
"""Reasons that mean that no work began."""
_PREDICATES: Final[Mapping[Reason, str]] = {
    ErrorReason.ERROR_REASON_INVALID_VALUE: "refused the request",
    ErrorReason.ERROR_REASON_INVALID_IMAGE: "refused the image",
    ErrorReason.ERROR_REASON_FILE_TOO_LARGE: "refused the request as too large",
    ErrorReason.ERROR_REASON_UNSUPPORTED_PARAMETER: "refused the request",
    ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED: "is receiving too many requests",
    ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS: "refused this gateway's key",
    ErrorReason.ERROR_REASON_PROVIDER_BILLING: "refused for lack of credit",
    ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE: "can't be reached",
    ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT: "did not finish in time",
    ErrorReason.ERROR_REASON_CANCELLED: "cancelled this",
    ErrorReason.ERROR_REASON_MODEL_RETIRED: "no longer serves this model",
}
