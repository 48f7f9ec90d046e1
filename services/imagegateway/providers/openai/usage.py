"""Token usage of OpenAI's responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imagegateway.providers.kit.usage import complete
from imagegateway.v1.job_pb2 import SvgUsage, TokenDetails, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_TOKENS: Final = 100_000_000
"""Largest count that is accepted: a larger one is an error, and the sum of ten still fits the field."""


def sum_usages(usages: Iterable[Any], *, text_only: bool) -> Usage | None:
    """Return the sum of `usage` objects of responses or events; None without any. `text_only`: as in `complete`."""
    total = Usage()
    found = False
    for usage in usages:
        if not isinstance(usage, dict):
            continue
        found = True
        for name in ("input_tokens", "output_tokens", "total_tokens"):
            _add(total, name, usage)
        for name in ("input_tokens_details", "output_tokens_details"):
            details = usage.get(name)
            if isinstance(details, dict):
                for kind in ("text_tokens", "image_tokens"):
                    _add(getattr(total, name), kind, details)
    return complete(total, text_only=text_only) if found else None


def parse_svg_usage(value: Any) -> SvgUsage | None:
    """Return a response's `svg_usage`; None unless it holds every field that OpenAI's own types require."""
    counts = ("input_tokens", "output_tokens", "reasoning_tokens", "total_tokens")
    if not isinstance(value, dict) or not isinstance(value.get("model"), str):
        return None
    if not all(type(value.get(name)) is int and 0 <= value[name] <= _MAX_TOKENS for name in counts):
        return None
    return SvgUsage(model=value["model"], **{name: value[name] for name in counts})


def _add(total: Usage | TokenDetails, name: str, counts: dict[str, Any]) -> None:
    value = counts.get(name)
    if type(value) is int and 0 <= value <= _MAX_TOKENS:
        setattr(total, name, getattr(total, name) + value)
