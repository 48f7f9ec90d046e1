"""Token counts of providers as the API's usage: whole, or none at all."""

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


def completed(usage: Usage, *, text_only: bool) -> Usage:
    """Return a provider's counts with the numbers that follow from the others.

    `text_only`: the call brought no images, so all its input tokens are of text. Counts that nothing tells stay
    unset.
    """
    whole = Usage()
    whole.CopyFrom(usage)
    told = [name for name in _TOTALS if usage.HasField(name)]
    if told == ["input_tokens", "output_tokens"]:
        whole.total_tokens = usage.input_tokens + usage.output_tokens
    if told == ["output_tokens", "total_tokens"] and usage.total_tokens >= usage.output_tokens:
        whole.input_tokens = usage.total_tokens - usage.output_tokens
    if whole.HasField("input_tokens"):
        _split(whole, text_only=text_only)
    return whole


def _split(usage: Usage, *, text_only: bool) -> None:
    """Fill in the input's tokens by kind, where they follow from their sum."""
    details = usage.input_tokens_details
    match details.HasField("text_tokens"), details.HasField("image_tokens"):
        case True, False:
            details.image_tokens = max(0, usage.input_tokens - details.text_tokens)
        case False, True:
            details.text_tokens = max(0, usage.input_tokens - details.image_tokens)
        case False, False if text_only or not usage.input_tokens:
            details.text_tokens, details.image_tokens = usage.input_tokens, 0


def is_whole(usage: Usage) -> bool:
    """Whether all the counts are there that OpenAI's schema requires."""
    return all(usage.HasField(name) for name in _TOTALS) and _both_kinds(usage.input_tokens_details)


def public(usage: Usage) -> Usage | None:
    """Return the counts as callers may see them, without half-filled details of the output; None unless whole."""
    if not is_whole(usage):
        return None
    shown = Usage()
    shown.CopyFrom(usage)
    if not _both_kinds(shown.output_tokens_details):
        shown.ClearField("output_tokens_details")
    return shown


def _both_kinds(details: TokenDetails) -> bool:
    return all(details.HasField(kind) for kind in _KINDS)
