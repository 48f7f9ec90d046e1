"""Usage: providers' token counts, complete or absent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.v1.job_pb2 import Usage

if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    from imagegateway.v1.job_pb2 import TokenDetails

    _Total: TypeAlias = Literal["input_tokens", "output_tokens", "total_tokens"]
    _Kind: TypeAlias = Literal["text_tokens", "image_tokens"]

_TOTALS: Final[tuple[_Total, ...]] = ("input_tokens", "output_tokens", "total_tokens")
_KINDS: Final[tuple[_Kind, ...]] = ("text_tokens", "image_tokens")


def complete(usage: Usage, *, text_only: bool) -> Usage:
    """Return a provider's counts with those that follow from the others; unknown counts stay unset.

    `text_only`: the call has no input images, so all its input tokens are text.
    """
    completed = Usage()
    completed.CopyFrom(usage)
    known = [name for name in _TOTALS if usage.HasField(name)]
    if known == ["input_tokens", "output_tokens"]:
        completed.total_tokens = usage.input_tokens + usage.output_tokens
    if known == ["output_tokens", "total_tokens"] and usage.total_tokens >= usage.output_tokens:
        completed.input_tokens = usage.total_tokens - usage.output_tokens
    if completed.HasField("input_tokens"):
        _split(completed, text_only=text_only)
    return completed


def _split(usage: Usage, *, text_only: bool) -> None:
    """Set the input's tokens by kind, where they follow from their sum."""
    details = usage.input_tokens_details
    match details.HasField("text_tokens"), details.HasField("image_tokens"):
        case True, False:
            details.image_tokens = max(0, usage.input_tokens - details.text_tokens)
        case False, True:
            details.text_tokens = max(0, usage.input_tokens - details.image_tokens)
        case False, False if text_only or not usage.input_tokens:
            details.text_tokens, details.image_tokens = usage.input_tokens, 0


def is_complete(usage: Usage) -> bool:
    """Return whether all the counts that OpenAI's schema requires are set."""
    return all(usage.HasField(name) for name in _TOTALS) and _both_kinds(usage.input_tokens_details)


def public(usage: Usage) -> Usage | None:
    """Return the counts for callers, without incomplete details of the output; None unless they are complete."""
    if not is_complete(usage):
        return None
    shown = Usage()
    shown.CopyFrom(usage)
    if not _both_kinds(shown.output_tokens_details):
        shown.ClearField("output_tokens_details")
    return shown


def _both_kinds(details: TokenDetails) -> bool:
    return all(details.HasField(kind) for kind in _KINDS)
