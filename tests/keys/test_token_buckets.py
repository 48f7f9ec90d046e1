"""Token buckets of one account: what fits, when more fits, and what callers read of them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagegateway.keys.policy import Quota
from imagegateway.keys.rate_limits import FULL, MINUTE, NO_TOKENS, Account, Measure, RateLimit, TokenBuckets
from imagegateway.platform.errors import GatewayError
from imagegateway.v1.error_reason_pb2 import ErrorReason

NOW = 1_800_000_000 * 10**9
SECOND = 10**9


def account(requests: int | None = None, images: int | None = None) -> Account:
    return Account("key.k", "this key", Quota(requests_per_minute=requests, images_per_minute=images))


def admitted(limits: Account, calls: int, buckets: TokenBuckets = FULL, now: int = NOW) -> TokenBuckets:
    """Return the buckets after calls of one image that must all be admitted."""
    for _ in range(calls):
        buckets = limits.spend(buckets, 1, now)
    return buckets


def refusal(limits: Account, buckets: TokenBuckets, images: int = 1, now: int = NOW) -> GatewayError:
    with pytest.raises(GatewayError) as raised:
        limits.spend(buckets, images, now)
    assert raised.value.reason == ErrorReason.ERROR_REASON_RATE_LIMIT_EXCEEDED
    return raised.value


def test_full_bucket_admits_its_limit_at_once_and_then_one_call_per_interval() -> None:
    limits = account(requests=60)
    empty = admitted(limits, 60)
    error = refusal(limits, empty)
    assert error.retry_after == 1
    assert error.message == (
        "Rate limit of requests reached: this key may make 60 requests a minute; try again in 1 s."
    )
    refusal(limits, empty, now=NOW + SECOND - 1)
    refusal(limits, admitted(limits, 1, empty, NOW + SECOND), now=NOW + SECOND)
    admitted(limits, 60, empty, NOW + MINUTE)


def test_images_are_counted_beside_requests() -> None:
    limits = account(requests=100, images=10)
    buckets = limits.spend(FULL, 8, NOW)
    assert limits.cost(8) == TokenBuckets(MINUTE // 100, MINUTE * 8 // 10)
    error = refusal(limits, buckets, images=4)
    assert error.retry_after == 12
    assert "10 images a minute" in error.message
    assert dict(error.details) == {"measure": "images", "limit": "10"}
    admitted(limits, 2, buckets)


def test_refusal_reports_the_longer_wait_of_two_empty_buckets() -> None:
    limits = account(requests=2, images=5)
    buckets = limits.spend(limits.spend(FULL, 3, NOW), 2, NOW)
    assert refusal(limits, buckets, images=1).retry_after == 30
    assert refusal(limits, buckets, images=3).retry_after == 36


def test_call_of_more_images_than_a_full_bucket_is_invalid() -> None:
    with pytest.raises(GatewayError, match=r"n is 6, and this key may make 5 images a minute\.") as raised:
        account(images=5).check_size(6)
    assert (raised.value.code, raised.value.param) == ("invalid_value", "n")
    account(images=5).check_size(5)
    account(requests=1).check_size(10)


def test_returned_tokens_can_be_spent_again() -> None:
    limits = account(requests=3, images=9)
    buckets = limits.spend(admitted(limits, 2), 1, NOW)
    assert limits.spend(buckets.minus(limits.cost(1)), 1, NOW) == buckets


def test_state_counts_whole_tokens_and_the_time_until_all_are_back() -> None:
    limits = account(requests=60, images=20)
    buckets = limits.spend(FULL, 5, NOW)
    assert limits.states(buckets, NO_TOKENS, NOW) == [
        RateLimit(Measure.REQUESTS, 60, 59, SECOND),
        RateLimit(Measure.IMAGES, 20, 15, 15 * SECOND),
    ]
    assert [state.remaining for state in limits.states(buckets, NO_TOKENS, NOW + SECOND // 2)] == [59, 15]
    assert limits.states(buckets, NO_TOKENS, NOW + MINUTE)[1] == RateLimit(Measure.IMAGES, 20, 20, 0)
    assert account(images=7).states(FULL, NO_TOKENS, NOW) == [RateLimit(Measure.IMAGES, 7, 7, 0)]


def test_lowered_limit_keeps_the_share_that_is_left() -> None:
    half = admitted(account(requests=100), 50)
    assert account(requests=10).states(half, NO_TOKENS, NOW)[0].remaining == 5


CALLS = st.lists(st.tuples(st.integers(0, 20 * SECOND), st.integers(1, 10)), max_size=40)


@given(CALLS, st.integers(1, 50), st.integers(10, 50))
def test_decisions_are_those_of_token_buckets(calls: list[tuple[int, int]], requests: int, images: int) -> None:
    limits, buckets, now = account(requests, images), FULL, NOW
    rates = {Measure.REQUESTS: requests, Measure.IMAGES: images}
    tokens = {measure: Fraction(limit) for measure, limit in rates.items()}
    late = Fraction(len(calls), MINUTE)  # each span is rounded up to a nanosecond
    for pause, count in calls:
        now += pause
        wanted = {Measure.REQUESTS: 1, Measure.IMAGES: count}
        for measure, limit in rates.items():
            tokens[measure] = min(Fraction(limit), tokens[measure] + Fraction(pause * limit, MINUTE))
        try:
            buckets = limits.spend(buckets, count, now)
        except GatewayError:
            assert any(tokens[measure] < wanted[measure] + late * limit for measure, limit in rates.items())
            continue
        for measure, amount in wanted.items():
            tokens[measure] -= amount
            assert tokens[measure] >= 0


@given(CALLS, st.integers(0, 10 * SECOND))
def test_clocks_apart_admit_no_more_than_their_difference(calls: list[tuple[int, int]], apart: int) -> None:
    """Two replicas alternate; the clock of the second is ahead."""
    limit, buckets, now, taken = 30, FULL, NOW, 0
    limits = account(images=limit)
    for index, (pause, count) in enumerate(calls):
        now += pause
        try:
            buckets = limits.spend(buckets, count, now + apart * (index % 2))
        except GatewayError:
            continue
        taken += count
        assert taken <= limit + (now - NOW + apart) * limit / MINUTE
