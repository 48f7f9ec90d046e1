"""Rules for every family: files, catalog and adapters."""

from __future__ import annotations

from datetime import date
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from imagegateway import providers
from imagegateway.platform.errors import REASONS
from imagegateway.platform.setting_source import Source
from imagegateway.providers.catalog import Capability, Mode, Model
from imagegateway.providers.kit.error_table import NOT_STARTED, Failure
from imagegateway.providers.kit.http_messages import HttpResponse
from imagegateway.providers.registry import FAMILIES, HTTP_FAMILIES, MODELS
from imagegateway.router.catalog import Catalog
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.providers.contract.calls import call_of

if TYPE_CHECKING:
    from imagegateway.providers.kit.adapter import Adapter

ROOT = Path(providers.__file__).parent
ADAPTERS = [(name, adapter) for name, entry in HTTP_FAMILIES.items() for adapter in entry.load_adapters()]


def test_registry_entry_has_models_of_its_own_family_only() -> None:
    for name, entry in FAMILIES.items():
        assert {model.family for model in entry.models} == {name}


@pytest.mark.parametrize("name", HTTP_FAMILIES)
def test_family_folder_has_its_files(name: str) -> None:
    files = {path.name for path in (ROOT / name).iterdir()}
    assert files >= {"__init__.py", "adapter.py", "catalog.py", "README.md"}


def test_table_of_reasons_has_every_reason() -> None:
    assert set(REASONS) == set(ErrorReason.values()) - {ErrorReason.ERROR_REASON_UNSPECIFIED}


def test_catalog_names_are_unique() -> None:
    catalog = Catalog.load(Source({}))
    assert len(catalog.models) == len(MODELS)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.id))
def test_model_is_complete(model: Model) -> None:
    routes = {route.name for route in model.routes}
    if model.family in HTTP_FAMILIES:
        assert routes <= {adapter.route for adapter in HTTP_FAMILIES[model.family].load_adapters()}
        assert model.source.startswith("https://")
    assert model.checked <= date(2100, 1, 1)
    assert (
        model.supports(Capability.TEXT_TO_IMAGE)
        or model.supports(Capability.IMAGE_TO_IMAGE)
        or model.supports(Capability.TEXT_TO_VIDEO)
    )
    assert bool(model.max_inputs) == model.supports(Capability.IMAGE_TO_IMAGE)
    assert model.supports(Capability.IMAGE_TO_IMAGE) or not model.supports(Capability.MASK)
    assert (model.modality == "video") == model.supports(Capability.TEXT_TO_VIDEO)
    assert model.sizes.nearest(*model.sizes.default) == model.sizes.default
    if model.successor:
        assert model.successor in {other.id for other in MODELS}
    for route in model.routes:
        assert route.mode in {Mode.INLINE, Mode.ASYNC}
        assert route.native_id
        setting = f"IMAGEGATEWAY_{route.name.upper()}_"
        # A self-hosted server may need no key: then its base URL enables the route.
        assert all(name.startswith(setting) for name in route.required_settings)
        assert not route.required_settings or {setting + "API_KEY", setting + "BASE_URL"} & set(
            route.required_settings
        )


@pytest.mark.parametrize(("name", "adapter"), ADAPTERS, ids=lambda value: getattr(value, "route", value))
def test_uncharged_server_errors_cite_their_page(name: str, adapter: Adapter) -> None:
    table = adapter.errors
    free = table.uncharged.statuses if table.uncharged else frozenset()
    assert free <= frozenset(range(500, 600))
    if table.uncharged:
        assert table.uncharged.page.startswith("https://")
        assert table.uncharged.checked <= date(2100, 1, 1)
    refusals = {status for status, reason in table.by_status.items() if reason in NOT_STARTED and status >= 500}
    if (name, adapter.route) != ("stability", "automatic1111"):  # a self-hosted server bills nothing
        assert refusals <= free, "a refusal before any work is not billed"


@pytest.mark.parametrize(("name", "adapter"), ADAPTERS, ids=lambda value: getattr(value, "route", value))
def test_any_error_response_is_a_failure_with_a_reason(name: str, adapter: Adapter) -> None:
    bodies = (b"", b"<html>oops</html>", b"[]", b'"text"', b"null", b'{"error": 7}', b'{"detail": []}')
    statuses = (400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 429, 500, 502, 503, 504, 520)
    for status, body in product(statuses, bodies):
        failure = adapter.read_error(call_of(name, adapter), HttpResponse(status, {}, body))
        assert isinstance(failure, Failure)
        assert failure.reason in REASONS
        assert REASONS[failure.reason].may_be_billed or not failure.may_be_billed
        assert failure.message.endswith((".", "…")) or ":" in failure.message
        assert "oops" not in failure.message
