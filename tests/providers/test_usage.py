"""Token counts: those that follow from others are added, and callers get complete counts or none."""

from __future__ import annotations

import pytest
from imagegateway.providers.kit import usage
from imagegateway.v1.job_pb2 import Usage


def counts(**values: int) -> Usage:
    """Return counts: `text` and `image` are the input's kinds, other names are the totals'."""
    found = Usage()
    for name, value in values.items():
        message = found.input_tokens_details if name in {"text", "image"} else found
        setattr(message, f"{name}_tokens", value)
    return found


@pytest.mark.parametrize(
    ("given", "completed"),
    [
        (counts(input=10, output=20), counts(input=10, output=20, total=30)),
        (counts(output=20, total=30), counts(input=10, output=20, total=30)),
        (counts(output=20, total=20), counts(input=0, output=20, total=20, text=0, image=0)),
        (counts(output=20, total=19), counts(output=20, total=19)),
        (counts(input=10, total=30), counts(input=10, total=30)),
        (counts(output=20), counts(output=20)),
        (counts(input=10, output=20, total=99), counts(input=10, output=20, total=99)),
        (counts(input=10, text=7), counts(input=10, text=7, image=3)),
        (counts(input=10, image=4), counts(input=10, text=6, image=4)),
        (counts(input=10, image=12), counts(input=10, text=0, image=12)),
        (counts(input=10, text=12), counts(input=10, text=12, image=0)),
        (counts(input=10, text=1, image=2), counts(input=10, text=1, image=2)),
    ],
)
def test_counts_that_follow_from_others_are_added(given: Usage, completed: Usage) -> None:
    assert usage.complete(given, text_only=False) == completed


def test_input_without_images_is_all_text() -> None:
    assert usage.complete(counts(input=10), text_only=True) == counts(input=10, text=10, image=0)


@pytest.mark.parametrize("missing", ["input", "output", "total", "text", "image"])
def test_incomplete_counts_are_not_shown(missing: str) -> None:
    values = {"input": 10, "output": 20, "total": 30, "text": 7, "image": 3}
    assert usage.public(counts(**values)) == counts(**values)
    del values[missing]
    assert usage.public(counts(**values)) is None


def test_details_of_the_output_are_shown_when_complete() -> None:
    found = counts(input=10, output=20, total=30, text=7, image=3)
    found.output_tokens_details.image_tokens = 20
    shown = usage.public(found)
    assert shown is not None
    assert not shown.HasField("output_tokens_details")
    found.output_tokens_details.text_tokens = 0
    assert usage.public(found) == found
