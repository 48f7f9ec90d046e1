"""Costs as callers see them: of a plan before its job, and in the header of an ended job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.platform.money import decimal_usd, nanodollars, to_cost

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.providers.catalog import Route
    from imagegateway.router.call_context import Call
    from imagegateway.router.catalog import Catalog
    from imagegateway.router.validation.plan import Plan
    from imagegateway.v1.job_pb2 import Cost

COST: Final = "x-cost"
"""Response header with the cost of a job in US dollars."""


def estimate(plan: Plan, catalog: Catalog) -> Cost | None:
    """Return the most that a plan's job is expected to cost, on any route that may serve it.

    A route costs nothing with the caller's or the tenant's own key. Routes of a fallback without a known price do not
    count. None where the price of the plan's own route is unknown.
    """

    def on(route: Route) -> Cost | None:
        return to_cost(0, estimated=True) if route.name in plan.own_key_routes else catalog.estimate(plan.task, route)

    expected = on(plan.route)
    if expected is None:
        return None
    others = (on(route) for route in plan.routes[1:] if catalog.ready(route, plan.stored_keys))
    return max((expected, *(cost for cost in others if cost)), key=nanodollars)


def set_header(call: Call, record: JobRecord) -> None:
    """Set the cost header of an ended job, unless its cost is unknown."""
    if record.HasField("cost"):
        call.headers[COST] = decimal_usd(nanodollars(record.cost))
