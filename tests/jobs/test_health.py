"""What calls teach about routes."""

from __future__ import annotations

import pytest
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.jobs.health import FAILURES, SECONDS, Health

AWAY = provider.Failed(reason=ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock)


def limited(seconds: float) -> provider.Failed:
    failure = provider.Failed(reason=ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED)
    failure.retry_after.FromMilliseconds(round(seconds * 1000))
    return failure


def test_a_route_that_keeps_failing_is_set_aside_for_a_while(health: Health, clock: Clock) -> None:
    for _ in range(FAILURES):
        assert not health.set_aside("bfl")
        health.failed("bfl", AWAY)
    assert health.set_aside("bfl")
    assert not health.set_aside("fal")
    clock.now += SECONDS
    assert not health.set_aside("bfl")
    health.failed("bfl", AWAY)
    assert health.set_aside("bfl"), "it is still away"
    health.worked("bfl")
    assert not health.set_aside("bfl")
    health.failed("bfl", AWAY)
    assert not health.set_aside("bfl")


def test_a_callers_mistakes_do_not_count(health: Health) -> None:
    for _ in range(FAILURES):
        health.failed("bfl", provider.Failed(reason=ErrorReason.ERROR_REASON_MODERATION_BLOCKED))
    assert not health.set_aside("bfl")


def test_a_wait_that_was_asked_for_is_kept_whatever_else_works(health: Health, clock: Clock) -> None:
    health.failed("bfl", limited(12))
    health.worked("bfl")  # a task that was taken before
    assert health.set_aside("bfl")
    clock.now += 12
    assert not health.set_aside("bfl")


def test_a_limit_without_a_wait_sets_nothing_aside(health: Health) -> None:
    for _ in range(FAILURES):
        health.failed("bfl", provider.Failed(reason=ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED))
    assert not health.set_aside("bfl")


def test_a_short_wait_does_not_end_a_long_one(health: Health, clock: Clock) -> None:
    health.failed("bfl", limited(30))
    health.failed("bfl", limited(1))
    clock.now += 10
    assert health.set_aside("bfl")
