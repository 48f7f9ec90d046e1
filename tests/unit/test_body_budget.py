"""The budget of bodies: a limit for all, half of it for one tenant, and nothing kept of what has ended."""

from __future__ import annotations

import pytest
from imagegateway.platform.errors import GatewayError
from imagegateway.router.body_budget import BodyBudget


def test_tenant_has_half_and_another_one_the_other_half() -> None:
    budget = BodyBudget(100)
    with budget.reservation("a") as first, budget.reservation("a") as second, budget.reservation("b") as other:
        first.grow(30)
        second.grow(20)
        with pytest.raises(GatewayError, match="of your request bodies"):
            second.grow(1)
        other.grow(50)


def test_body_over_the_budget_of_all_is_overloaded_with_a_wait() -> None:
    budget = BodyBudget(100)
    with budget.reservation("a") as first, budget.reservation("b") as second, budget.reservation("c") as third:
        first.grow(40)
        second.grow(40)
        with pytest.raises(GatewayError, match="too many request bodies") as caught:
            third.grow(21)
        third.grow(20)
    assert (caught.value.code, caught.value.retry_after) == ("overloaded", 1.0)


def test_bytes_of_a_body_that_ended_or_failed_are_free_again() -> None:
    budget = BodyBudget(100)
    for _ in range(5):
        with budget.reservation("a") as body:
            body.grow(50)
            with pytest.raises(GatewayError):
                body.grow(1)
    with budget.reservation("a") as body:
        body.grow(50)
