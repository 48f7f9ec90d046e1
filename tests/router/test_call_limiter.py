"""Rate limit headers."""

from __future__ import annotations

import pytest
from imagegateway.keys.rate_limits import Measure, RateLimit
from imagegateway.router.call_limiter import duration, rate_headers

MILLISECOND = 10**6


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (20 * MILLISECOND, "20ms"),
        (999 * MILLISECOND + 1, "1s"),
        (8640 * MILLISECOND, "8.64s"),
        (59_999 * MILLISECOND, "59.999s"),
        (60_000 * MILLISECOND, "1m0s"),
        (86_400 * MILLISECOND, "1m26.4s"),
        (360_000 * MILLISECOND, "6m0s"),
    ],
)
def test_reset_times_are_written_as_openai_writes_them(nanoseconds: int, text: str) -> None:
    assert duration(nanoseconds) == text


def test_headers_name_only_the_limits_that_exist() -> None:
    assert rate_headers([]) == {}
    assert rate_headers([RateLimit(Measure.IMAGES, 60, 58, 2000 * MILLISECOND)]) == {
        "x-ratelimit-limit-images": "60",
        "x-ratelimit-remaining-images": "58",
        "x-ratelimit-reset-images": "2s",
    }
