"""Choice of the route: the call's own keys, the tenant's stored keys, and the operator's settings."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.setting_source import Source
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.providers.catalog import Capability, Mode, Model, Route
from imagegateway.providers.local.catalog import MODELS as LOCAL
from imagegateway.providers.sizes import FixedSizes
from imagegateway.router.call_context import Preferences
from imagegateway.router.catalog import Catalog
from imagegateway.router.model_description import describe_model
from imagegateway.router.validation.request import validate_request
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1.image_service_pb2 import Lora

if TYPE_CHECKING:
    from collections.abc import Collection

    from imagegateway.router.validation.plan import Plan

MODEL = Model(
    id="house/painter",
    family="house",
    description="A model with three routes.",
    created=date(2026, 1, 1),
    source="https://example.com",
    checked=date(2026, 1, 1),
    routes=(
        Route("first", Mode.INLINE, "painter", ("IMAGEGATEWAY_FIRST_API_KEY",)),
        Route("second", Mode.ASYNC, "painter", ("IMAGEGATEWAY_SECOND_API_KEY",)),
        Route("server", Mode.ASYNC, "painter", ("IMAGEGATEWAY_SERVER_BASE_URL",)),
    ),
    sizes=FixedSizes(((64, 64),)),
    capabilities=frozenset({Capability.TEXT_TO_IMAGE, Capability.LORA}),
)
FIRST = {"IMAGEGATEWAY_FIRST_API_KEY": "k"}
SECOND = {"IMAGEGATEWAY_SECOND_API_KEY": "k"}
ACCOUNT = {"IMAGEGATEWAY_ACCOUNT_ID": "a"}
SERVER = {"IMAGEGATEWAY_SERVER_BASE_URL": "http://127.0.0.1"}
LORA = "https://example.com/fox.safetensors"


def make(
    configured: dict[str, str],
    stored: Collection[str],
    byok: Collection[str] = (),
    open_routes: Collection[str] = (),
    lora: str = "",
) -> Plan:
    """Return the plan of a request with the operator's settings and the tenant's stored keys."""
    return validate_request(
        pb.GenerateRequest(prompt="a kite", model=MODEL.id, loras=[Lora(url=lora)] if lora else []),
        Catalog.load(Source(configured), (MODEL, *LOCAL)),
        MODEL.id,
        Preferences(),
        byok=byok,
        stored_keys=dict.fromkeys(stored, b"sealed"),
        is_open=lambda _model, route: route in open_routes,
    )


@pytest.mark.parametrize(
    ("configured", "stored", "byok", "route"),
    [
        ({}, {"first"}, (), "first"),
        ({}, {"second"}, (), "second"),
        (FIRST, {"second"}, (), "first"),
        (SECOND, {"first"}, (), "first"),
        (FIRST | SECOND, {"first"}, ("second",), "second"),
        (SERVER, {"server"}, (), "server"),
        (SERVER, {"second"}, (), "second"),
        ({}, {"server", "second"}, (), "second"),
    ],
)
def test_first_ready_route_serves(
    configured: dict[str, str], stored: Collection[str], byok: Collection[str], route: str
) -> None:
    assert make(configured, stored, byok).route.name == route


def test_route_with_an_open_circuit_is_skipped() -> None:
    assert make(FIRST, {"second"}, open_routes={"first"}).route.name == "second"
    assert make({}, {"first"}, open_routes={"first"}).route.name == "first"


def test_key_of_the_call_excludes_stored_keys() -> None:
    assert make(FIRST, {"second"}, ("first",)).stored_keys == {}
    assert set(make(FIRST, {"second"}).stored_keys) == {"second"}


@pytest.mark.parametrize("stored", [set(), {"server"}, {"elsewhere"}])
def test_route_that_lacks_more_than_a_key_is_not_ready(stored: Collection[str]) -> None:
    with pytest.raises(GatewayError) as raised:
        make({}, stored)
    assert raised.value.code == "provider_not_configured"


@pytest.mark.parametrize(
    ("configured", "stored", "route"),
    [
        (FIRST, {"second"}, "second"),
        (FIRST | SECOND, {"first", "second"}, "first"),
        (FIRST | SERVER, {"server"}, "server"),
    ],
)
def test_loras_run_on_a_route_that_the_tenant_stored_a_key_for(
    configured: dict[str, str], stored: Collection[str], route: str
) -> None:
    assert make(configured, stored, lora=LORA).route.name == route


def test_loras_never_run_on_the_operators_account() -> None:
    assert make(FIRST, {"second"}, open_routes={"second"}, lora=LORA).route.name == "second"
    for stored, code in ((set[str](), "byok_required"), ({"server"}, "provider_not_configured")):
        with pytest.raises(GatewayError) as raised:
            make(FIRST, stored, lora=LORA)
        assert raised.value.code == code


@pytest.mark.parametrize(
    ("configured", "stored", "lora", "after", "route"),
    [
        (FIRST, {"second"}, False, "first", "second"),
        (FIRST | SECOND, {"first"}, False, "first", "second"),
        (FIRST | SECOND, {"first"}, True, "first", None),
        (FIRST | SECOND | SERVER, {"first", "server"}, True, "first", "server"),
        ({}, {"first"}, False, "first", None),
        ({}, {"first", "server"}, False, "first", None),
    ],
)
def test_next_route_is_one_that_is_ready(
    configured: dict[str, str], stored: Collection[str], lora: bool, after: str, route: str | None
) -> None:
    catalog = Catalog.load(Source(configured), (MODEL, *LOCAL))
    task = provider.ImageTask(model=MODEL.id, route=after)
    if lora:
        task.loras.add(url=LORA)
    found = catalog.fallback(task, lambda _route: False, stored)
    assert (found.name if found else None) == route


def test_model_description_depends_on_the_tenants_keys() -> None:
    catalog = Catalog.load(Source(SECOND), (MODEL, *LOCAL))
    described = describe_model(catalog, MODEL, {"first", "server"})
    assert [route.available for route in described.routes] == [True, True, False]
    nothing = Catalog.load(Source({}), (MODEL, *LOCAL))
    assert describe_model(nothing, MODEL).unavailable_reason
    assert not describe_model(nothing, MODEL, {"first"}).HasField("unavailable_reason")
    assert nothing.default_or_embedded(MODEL).id == "local/sketch"
    assert nothing.default_or_embedded(MODEL, {"first"}) is MODEL


def test_stored_key_replaces_only_the_routes_key() -> None:
    key, account = "IMAGEGATEWAY_FIRST_API_KEY", "IMAGEGATEWAY_ACCOUNT_ID"
    first, second, _ = MODEL.routes
    model = replace(MODEL, routes=(replace(first, required_settings=(key, account)), second))
    nothing, half = (Catalog.load(Source(values), (model, *LOCAL)) for values in ({}, ACCOUNT))
    route = model.routes[0]
    assert (nothing.missing(route), nothing.missing(route, {"second"})) == ((key, account), (key, account))
    assert (nothing.missing(route, {"first"}), half.missing(route, {"first"})) == ((account,), ())
    assert not nothing.ready(route, {"first"})
    assert half.ready(route, {"first"})
    described = describe_model(nothing, model, {"first"})
    assert [list(shown.missing_settings) for shown in described.routes] == [
        [account],
        ["IMAGEGATEWAY_SECOND_API_KEY"],
    ]
    assert described.unavailable_reason == f"{model.id} needs {account}, or IMAGEGATEWAY_SECOND_API_KEY."
    with pytest.raises(GatewayError) as raised:
        nothing.route(model, stored={"first"}, own=True)
    assert raised.value.message == f"{model.id} needs {account}."
    assert half.route(model, stored={"first"}) is route


def test_fallback_skips_a_route_with_an_open_circuit() -> None:
    catalog = Catalog.load(Source(FIRST | SERVER), (MODEL, *LOCAL))
    task = provider.ImageTask(model=MODEL.id, route="first")
    found = catalog.fallback(task, {"second"}.__contains__, {"second"})
    assert found is MODEL.routes[2]
    assert catalog.fallback(task, {"second", "server"}.__contains__, {"second"}) is None


def test_embedded_route_takes_no_key() -> None:
    assert Catalog.load(Source({}), (MODEL, *LOCAL)).routes_with_keys == ["first", "second", "server"]
