"""Circuit breakers per model and route: causes, scope and cooldown."""

from __future__ import annotations

import pytest
from imagegateway.jobs.circuit_breaker import (
    COOLDOWN_SECONDS,
    FAILURE_THRESHOLD,
    WINDOW_SECONDS,
    CircuitBreakers,
    CircuitState,
)
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.providers.kit.parsing import LONGEST_WAIT
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.support.clock import Clock

AWAY = provider.Failed(reason=ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE)
BROKEN = provider.Failed(reason=ErrorReason.ERROR_REASON_PROVIDER_ERROR)
NO_KEY = provider.Failed(reason=ErrorReason.ERROR_REASON_PROVIDER_CREDENTIALS)
MODEL = "bfl/flux-2-pro"
ROUTE = (MODEL, "bfl")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breakers(clock: Clock) -> CircuitBreakers:
    return CircuitBreakers(clock)


def limited(seconds: float) -> provider.Failed:
    failure = provider.Failed(reason=ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED)
    failure.retry_after.FromMilliseconds(round(seconds * 1000))
    return failure


def test_breaker_opens_after_consecutive_failures_and_is_half_open_after_its_cooldown(
    breakers: CircuitBreakers, clock: Clock
) -> None:
    for _ in range(FAILURE_THRESHOLD):
        assert not breakers.is_open("a", *ROUTE)
        breakers.record_failure("a", *ROUTE, AWAY)
    assert breakers.is_open("a", *ROUTE)
    assert not breakers.is_open("a", MODEL, "fal")
    clock.now += COOLDOWN_SECONDS
    assert not breakers.is_open("a", *ROUTE)
    breakers.record_failure("a", *ROUTE, AWAY)
    assert breakers.is_open("a", *ROUTE), "it is still away"
    breakers.record_success(*ROUTE)
    assert not breakers.is_open("a", *ROUTE)
    breakers.record_failure("a", *ROUTE, AWAY)
    assert not breakers.is_open("a", *ROUTE)


@pytest.mark.parametrize("failure", [AWAY, NO_KEY], ids=["away", "key refused"])
def test_failure_that_no_request_causes_counts_for_every_tenant(
    breakers: CircuitBreakers, failure: provider.Failed
) -> None:
    for _ in range(FAILURE_THRESHOLD):
        breakers.record_failure("a", *ROUTE, failure)
    assert breakers.is_open("b", *ROUTE)


def test_failures_of_one_tenants_requests_open_the_breaker_for_that_tenant_alone(
    breakers: CircuitBreakers, clock: Clock
) -> None:
    for _ in range(10 * FAILURE_THRESHOLD):
        breakers.record_failure("a", *ROUTE, BROKEN)
    assert breakers.is_open("a", *ROUTE)
    assert not breakers.is_open("b", *ROUTE)
    clock.now += COOLDOWN_SECONDS
    assert not breakers.is_open("a", *ROUTE)


def test_second_tenant_with_the_failure_opens_the_breaker_for_all(breakers: CircuitBreakers) -> None:
    for _ in range(FAILURE_THRESHOLD):
        breakers.record_failure("a", *ROUTE, BROKEN)
    breakers.record_failure("b", *ROUTE, BROKEN)
    assert breakers.is_open("c", *ROUTE)


def test_failures_of_one_model_open_no_breaker_of_other_models(breakers: CircuitBreakers) -> None:
    for _ in range(FAILURE_THRESHOLD):
        breakers.record_failure("a", *ROUTE, AWAY)
    assert not breakers.is_open("a", "bfl/flux-2-max", "bfl")


def test_success_closes_the_breaker(breakers: CircuitBreakers) -> None:
    for tenant in "abcabc":
        breakers.record_failure(tenant, *ROUTE, BROKEN)
        breakers.record_success(*ROUTE)
    assert not breakers.is_open("a", *ROUTE)


def test_failures_outside_the_window_do_not_add_up(breakers: CircuitBreakers, clock: Clock) -> None:
    for tenant in "abcabc":
        breakers.record_failure(tenant, *ROUTE, BROKEN)
        assert not any(breakers.is_open(each, *ROUTE) for each in "abc")
        clock.now += WINDOW_SECONDS / (FAILURE_THRESHOLD - 1)


def test_invalid_requests_do_not_count(breakers: CircuitBreakers) -> None:
    for tenant in "abc":
        breakers.record_failure(tenant, *ROUTE, provider.Failed(reason=ErrorReason.ERROR_REASON_MODERATION_BLOCKED))
    assert not breakers.is_open("a", *ROUTE)


def test_requested_cooldown_survives_a_success(breakers: CircuitBreakers, clock: Clock) -> None:
    breakers.record_failure("a", *ROUTE, limited(12))
    breakers.record_success(*ROUTE)  # a task accepted earlier
    assert breakers.is_open("b", *ROUTE)
    clock.now += 12
    assert not breakers.is_open("b", *ROUTE)


def test_pause_is_capped(breakers: CircuitBreakers, clock: Clock) -> None:
    breakers.record_failure("a", *ROUTE, limited(1_000_000_000))
    clock.now += LONGEST_WAIT
    assert not breakers.is_open("a", *ROUTE)


def test_rate_limit_without_a_pause_opens_no_breaker(breakers: CircuitBreakers) -> None:
    for tenant in "abc":
        breakers.record_failure(
            tenant, *ROUTE, provider.Failed(reason=ErrorReason.ERROR_REASON_PROVIDER_RATE_LIMITED)
        )
    assert not breakers.is_open("a", *ROUTE)


def test_short_pause_does_not_end_a_long_one(breakers: CircuitBreakers, clock: Clock) -> None:
    breakers.record_failure("a", *ROUTE, limited(30))
    breakers.record_failure("a", *ROUTE, limited(1))
    clock.now += 10
    assert breakers.is_open("a", *ROUTE)


def test_report_names_state_rest_of_the_cooldown_and_last_error(breakers: CircuitBreakers, clock: Clock) -> None:
    assert breakers.report() == []
    breakers.record_failure("a", *ROUTE, AWAY)
    (closed,) = breakers.report()
    assert (closed.model, closed.route, closed.state, closed.failures) == (*ROUTE, CircuitState.CLOSED, 1)
    for _ in range(FAILURE_THRESHOLD - 1):
        breakers.record_failure("a", *ROUTE, BROKEN)
    clock.now += 10
    (opened,) = breakers.report()
    assert (opened.state, opened.open_seconds) == (CircuitState.OPEN, COOLDOWN_SECONDS - 10)
    assert opened.last_error == BROKEN.reason
    clock.now += COOLDOWN_SECONDS
    (half_open,) = breakers.report()
    assert (half_open.state, half_open.open_seconds) == (CircuitState.HALF_OPEN, 0)
    breakers.record_success(*ROUTE)
    assert breakers.report() == []


def test_report_shows_a_pause_and_a_breaker_of_one_tenant_as_open(breakers: CircuitBreakers, clock: Clock) -> None:
    breakers.record_failure("a", *ROUTE, limited(20))
    for _ in range(FAILURE_THRESHOLD):
        breakers.record_failure("a", MODEL, "fal", BROKEN)
    assert [(each.route, each.state, each.failures) for each in breakers.report()] == [
        ("bfl", CircuitState.OPEN, 0),
        ("fal", CircuitState.OPEN, FAILURE_THRESHOLD),
    ]
    clock.now += max(20, WINDOW_SECONDS)
    assert breakers.report() == []
