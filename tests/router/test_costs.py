"""Expected costs of plans: own keys, and the routes of a fallback."""

from __future__ import annotations

import pytest
from imagegateway.platform.setting_source import Source
from imagegateway.router import costs
from imagegateway.router.call_context import Preferences
from imagegateway.router.catalog import Catalog
from imagegateway.router.validation.request import validate_request
from imagegateway.v1 import image_service_pb2 as pb

EDIT = pb.EditRequest(model="bria/fibo-edit/edit", prompt="at night", n=2)
BRIA = {"IMAGEGATEWAY_BRIA_API_KEY": "k"}
FAL = {"IMAGEGATEWAY_FAL_API_KEY": "k"}


@pytest.mark.parametrize(
    ("settings", "byok", "stored", "amount"),
    [
        (BRIA, (), {}, 0.08),
        (BRIA, ("bria",), {}, 0),
        ({}, (), {"bria": b"k"}, 0),
        (BRIA, (), {"bria": b"k"}, 0),
        (FAL, (), {"bria": b"k"}, 0.08),
        (FAL, ("bria",), {}, 0),
        (BRIA | FAL, (), {"bria": b"k", "fal": b"k"}, 0),
    ],
    ids=[
        "operator",
        "call",
        "tenant",
        "both",
        "tenant, fallback by the operator",
        "call, no fallback",
        "tenant twice",
    ],
)
def test_estimate_is_the_most_of_the_routes_that_may_serve(
    settings: dict[str, str], byok: tuple[str, ...], stored: dict[str, bytes], amount: float
) -> None:
    catalog = Catalog.load(Source(settings))
    plan = validate_request(EDIT, catalog, "", Preferences(), byok=byok, stored_keys=stored)
    cost = costs.estimate(plan, catalog)
    assert cost is not None
    assert (cost.amount, cost.currency, cost.estimated) == (amount, "USD", True)


def test_unknown_price_of_the_plans_route_is_no_estimate() -> None:
    catalog = Catalog.load(Source(BRIA | FAL))
    request = pb.EditRequest(model="bria/blur-background")
    assert costs.estimate(validate_request(request, catalog, "", Preferences()), catalog) is None
