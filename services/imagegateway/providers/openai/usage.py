"""What OpenAI counted, and what that costs by its price list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imagegateway.providers.kit.usage import complete
from imagegateway.providers.openai.catalog import PRICES
from imagegateway.v1.job_pb2 import Cost, SvgUsage, TokenDetails, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

_MILLION: Final = 1_000_000
_MOST: Final = 100_000_000
"""Tokens that no answer has: what is beyond is a mistake, and ten of them still fit."""


def counted(answers: Iterable[Any], *, text_only: bool) -> Usage | None:
    """The sum of the `usage` objects of answers or events; None without any. `text_only`: as in `completed`."""
    total = Usage()
    found = False
    for answer in answers:
        if not isinstance(answer, dict):
            continue
        found = True
        for name in ("input_tokens", "output_tokens", "total_tokens"):
            _add(total, name, answer)
        for name in ("input_tokens_details", "output_tokens_details"):
            details = answer.get(name)
            if isinstance(details, dict):
                for kind in ("text_tokens", "image_tokens"):
                    _add(getattr(total, name), kind, details)
    return complete(total, text_only=text_only) if found else None


def cost(native: str, usage: Usage | None) -> Cost | None:
    """Dollars for counted tokens; those of no stated kind count as text when they go in, as an image when out.

    None without a price, or without the counts that are paid for.
    """
    prices = PRICES.get(native)
    if prices is None or usage is None or not (usage.HasField("input_tokens") and usage.HasField("output_tokens")):
        return None
    image_in = usage.input_tokens_details.image_tokens
    text_out = usage.output_tokens_details.text_tokens
    dollars = (
        (usage.input_tokens - image_in) * prices.text_in
        + image_in * prices.image_in
        + (usage.output_tokens - text_out) * prices.image_out
        + text_out * prices.text_out
    )
    return Cost(amount=round(dollars / _MILLION, 8), currency="USD", estimated=True)


def author(answer: Any) -> SvgUsage | None:
    """Return an answer's `svg_usage`; None unless all of it is there, as OpenAI's own types require."""
    counts = ("input_tokens", "output_tokens", "reasoning_tokens", "total_tokens")
    if not isinstance(answer, dict) or not isinstance(answer.get("model"), str):
        return None
    if not all(type(answer.get(name)) is int and 0 <= answer[name] <= _MOST for name in counts):
        return None
    return SvgUsage(model=answer["model"], **{name: answer[name] for name in counts})


def _add(total: Usage | TokenDetails, name: str, answer: dict[str, Any]) -> None:
    value = answer.get(name)
    if type(value) is int and 0 <= value <= _MOST:
        setattr(total, name, getattr(total, name) + value)
