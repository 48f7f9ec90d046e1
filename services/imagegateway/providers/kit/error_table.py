"""What a provider's refusals mean: failures, each provider's table of them, and the wording of moderation."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from imagegateway.providers.kit.parsing import wait_of
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from imagegateway.providers.kit.adapter import Call, Reply

    Reason: TypeAlias = ErrorReason.ValueType


@dataclass(frozen=True, slots=True)
class Failure:
    """The provider did not make it. `accepted=False`: it surely took nothing, so another try costs nothing.

    `message` is for callers: never the provider's raw text unless it speaks of the caller's own input.
    """

    reason: Reason
    message: str
    param: str = ""
    retry_after: float | None = None
    accepted: bool = False
    again: bool = False
    """The provider made no image, and one more call may: at most one, whoever pays for it."""


def bad_response(what: str) -> Failure:
    """An answer that is not what the provider documents: its fault, and it may have been paid for."""
    return Failure(ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, f"The provider {what}", accepted=True)


# ---- moderation


class Refused(Enum):
    """What a content policy refused: its name in messages, and the request field to blame."""

    PROMPT = ("prompt", "prompt")
    INPUT = ("input image", "image")
    PROMPT_OR_INPUT = ("prompt or an input image", "prompt")
    RESULT = ("result", "")
    PROMPT_OR_RESULT = ("prompt or the result", "prompt")

    @property
    def noun(self) -> str:
        return self.value[0]

    @property
    def param(self) -> str:
        return self.value[1]


_OUTPUT: Final = re.compile(r"(?<![a-z])output|\bgenerated\b", re.IGNORECASE)
_INPUT: Final = re.compile(r"image|picture|visual|photo", re.IGNORECASE)
_PROMPT: Final = re.compile(r"prompt|text", re.IGNORECASE)
_MAX_CATEGORIES: Final = 10


def moderated(provider: str, refused: Refused, *, accepted: bool, categories: Iterable[object] = ()) -> Failure:
    """Return the failure for content that a provider's policy refused.

    `accepted`: the provider may charge for it. `categories`: the provider's own names of what it found; at most 10
    are shown, 40 characters each.
    """
    names = [str(name)[:40] for name in categories][:_MAX_CATEGORIES]
    found = f" ({', '.join(names)})" if names else ""
    return Failure(
        ErrorReason.ERROR_REASON_MODERATION_BLOCKED,
        f"The content policy of {provider} refused the {refused.noun}{found}.",
        param=refused.param,
        accepted=accepted,
    )


def refused_part(call: Call, words: str = "") -> Refused:
    """Return what a provider refused before any work: by its `words`, else by what the call brings."""
    if _OUTPUT.search(words):
        return Refused.RESULT
    if not call.task.inputs:
        return Refused.PROMPT
    if not call.task.prompt:
        return Refused.INPUT
    match bool(_PROMPT.search(words)), bool(_INPUT.search(words)):
        case True, False:
            return Refused.PROMPT
        case False, True:
            return Refused.INPUT
    return Refused.PROMPT_OR_INPUT


# ---- tables


@dataclass(frozen=True, slots=True)
class Uncharged:
    """The 5xx answers to a submit that cost nothing by the provider's page: such a call is made once more."""

    statuses: frozenset[int]
    page: str
    """Where the provider says so."""
    checked: date
    """When that page was last read."""


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """A provider's statuses as reasons: `by_code` by the provider's own error code first, then `by_status`.

    Statuses that neither names: 4xx are PROVIDER_ERROR and took nothing, 5xx PROVIDER_ERROR and may have. A timeout
    may have been taken whatever its status.
    """

    provider: str
    by_status: Mapping[int, Reason]
    by_code: Mapping[str, Reason] = field(default_factory=dict)
    uncharged: Uncharged | None = None
    """None: by its page any 5xx may be charged, so none is repeated."""

    def lookup(self, reply: Reply, code: str = "", detail: str = "", param: str = "") -> Failure:
        """`detail`: the provider's words, shown only when the caller's own input is to blame."""
        reason = self.by_code.get(code) or self.by_status.get(reply.status, ErrorReason.ERROR_REASON_PROVIDER_ERROR)
        if reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
            return moderated(self.provider, Refused.PROMPT_OR_INPUT, accepted=reply.status >= 500)
        blames_caller = reason in CALLERS_FAULT
        message = f"{self.provider} {_SAYS.get(reason, 'failed')}"
        server_failed = reply.status >= 500
        taken = reason == ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT or (server_failed and not self._free(reply, code))
        return Failure(
            reason=reason,
            message=f"{message}: {detail[:300]}" if blames_caller and detail else f"{message}.",
            param=param if blames_caller else "",
            retry_after=wait_of(reply.headers),
            accepted=taken,
            again=server_failed and not taken,
        )

    def _free(self, reply: Reply, code: str) -> bool:
        """Whether a 5xx is surely not charged: by its status, or by a code that says that nothing began."""
        named = self.by_code.get(code) in NOT_BEGUN
        return named or (self.uncharged is not None and reply.status in self.uncharged.statuses)


CALLERS_FAULT: Final = frozenset(
    {
        ErrorReason.ERROR_REASON_INVALID_VALUE,
        ErrorReason.ERROR_REASON_INVALID_IMAGE,
        ErrorReason.ERROR_REASON_UNSUPPORTED_PARAMETER,
    }
)
NOT_BEGUN: Final = frozenset(
    {ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED, ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE}
)
"""Reasons that say that no work began."""
_SAYS: Final[Mapping[Reason, str]] = {
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
