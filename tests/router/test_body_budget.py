"""Body budget: a limit for all tenants, half of it for one, and release at the end of a body."""

from __future__ import annotations

import pytest
from imagegateway.platform.errors import GatewayError
from imagegateway.router.body_budget import BodyBudget


def test_tenant_gets_at_most_half_of_the_budget() -> None:
    budget = BodyBudget(100)
    with budget.reservation("a") as first, budget.reservation("a") as second, budget.reservation("b") as other:
        first.grow(30)
        second.grow(20)
        with pytest.raises(GatewayError, match="of your request bodies"):
            second.grow(1)
        other.grow(50)


def test_body_over_the_whole_budget_is_overloaded_with_retry_after() -> None:
    budget = BodyBudget(100)
    with budget.reservation("a") as first, budget.reservation("b") as second, budget.reservation("c") as third:
        first.grow(40)
        second.grow(40)
        with pytest.raises(GatewayError, match="too many request bodies") as caught:
            third.grow(21)
        third.grow(20)
    assert (caught.value.code, caught.value.retry_after) == ("overloaded", 1.0)


def test_ended_or_failed_body_releases_its_bytes() -> None:
    budget = BodyBudget(100)
    for _ in range(5):
        with budget.reservation("a") as body:
            body.grow(50)
            with pytest.raises(GatewayError):
                body.grow(1)
    with budget.reservation("a") as body:
        body.grow(50)
