"""Circuit breakers of models' routes: what opens one, for whom, and for how long."""

from __future__ import annotations

import pytest
from imagegateway.jobs.circuit_breaker import FAILURES, SECONDS, WINDOW_SECONDS, Health
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.providers.kit.parsing import LONGEST_WAIT
from imagegateway.v1.error_reason_pb2 import ErrorReason

AWAY = provider.Failed(reason=ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE)
BROKEN = provider.Failed(reason=ErrorReason.ERROR_REASON_PROVIDER_ERROR)
NO_KEY = provider.Failed(reason=ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS)
MODEL = "bfl/flux-2-pro"
ROUTE = (MODEL, "bfl")


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


def test_route_that_keeps_failing_is_set_aside_for_a_while(health: Health, clock: Clock) -> None:
    for _ in range(FAILURES):
        assert not health.set_aside("a", *ROUTE)
        health.failed("a", *ROUTE, AWAY)
    assert health.set_aside("a", *ROUTE)
    assert not health.set_aside("a", MODEL, "fal")
    clock.now += SECONDS
    assert not health.set_aside("a", *ROUTE)
    health.failed("a", *ROUTE, AWAY)
    assert health.set_aside("a", *ROUTE), "it is still away"
    health.worked(*ROUTE)
    assert not health.set_aside("a", *ROUTE)
    health.failed("a", *ROUTE, AWAY)
    assert not health.set_aside("a", *ROUTE)


@pytest.mark.parametrize("failure", [AWAY, NO_KEY], ids=["away", "key refused"])
def test_failure_that_no_request_causes_counts_for_every_tenant(health: Health, failure: provider.Failed) -> None:
    for _ in range(FAILURES):
        health.failed("a", *ROUTE, failure)
    assert health.set_aside("b", *ROUTE)


def test_failures_of_one_tenants_requests_set_the_route_aside_for_that_tenant_alone(
    health: Health, clock: Clock
) -> None:
    for _ in range(10 * FAILURES):
        health.failed("a", *ROUTE, BROKEN)
    assert health.set_aside("a", *ROUTE)
    assert not health.set_aside("b", *ROUTE)
    clock.now += SECONDS
    assert not health.set_aside("a", *ROUTE)


def test_second_tenant_that_sees_the_failure_sets_the_route_aside_for_all(health: Health) -> None:
    for _ in range(FAILURES):
        health.failed("a", *ROUTE, BROKEN)
    health.failed("b", *ROUTE, BROKEN)
    assert health.set_aside("c", *ROUTE)


def test_failures_of_one_model_leave_the_route_to_other_models(health: Health) -> None:
    for _ in range(FAILURES):
        health.failed("a", *ROUTE, AWAY)
    assert not health.set_aside("a", "bfl/flux-2-max", "bfl")


def test_success_between_failures_clears_the_route(health: Health) -> None:
    for tenant in "abcabc":
        health.failed(tenant, *ROUTE, BROKEN)
        health.worked(*ROUTE)
    assert not health.set_aside("a", *ROUTE)


def test_failures_far_apart_do_not_add_up(health: Health, clock: Clock) -> None:
    for tenant in "abcabc":
        health.failed(tenant, *ROUTE, BROKEN)
        clock.now += WINDOW_SECONDS / (FAILURES - 1)
    assert not health.set_aside("a", *ROUTE)


def test_callers_mistakes_do_not_count(health: Health) -> None:
    for tenant in "abc":
        health.failed(tenant, *ROUTE, provider.Failed(reason=ErrorReason.ERROR_REASON_MODERATION_BLOCKED))
    assert not health.set_aside("a", *ROUTE)


def test_pause_that_was_asked_for_is_kept_whatever_else_works(health: Health, clock: Clock) -> None:
    health.failed("a", *ROUTE, limited(12))
    health.worked(*ROUTE)  # a task that was taken before
    assert health.set_aside("b", *ROUTE)
    clock.now += 12
    assert not health.set_aside("b", *ROUTE)


def test_pause_is_capped(health: Health, clock: Clock) -> None:
    health.failed("a", *ROUTE, limited(1_000_000_000))
    clock.now += LONGEST_WAIT
    assert not health.set_aside("a", *ROUTE)


def test_limit_without_a_wait_sets_nothing_aside(health: Health) -> None:
    for tenant in "abc":
        health.failed(tenant, *ROUTE, provider.Failed(reason=ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED))
    assert not health.set_aside("a", *ROUTE)


def test_short_pause_does_not_end_a_long_one(health: Health, clock: Clock) -> None:
    health.failed("a", *ROUTE, limited(30))
    health.failed("a", *ROUTE, limited(1))
    clock.now += 10
    assert health.set_aside("a", *ROUTE)
