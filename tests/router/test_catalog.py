"""Catalog of the router: configured routes, and the missing settings of the others."""

from __future__ import annotations

import pytest
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.setting_source import SettingError, Source
from imagegateway.platform.settings import load
from imagegateway.router.catalog import Catalog
from imagegateway.router.model_description import describe_model
from imagegateway.v1.error_reason_pb2 import ErrorReason

TOKEN = "IMAGEGATEWAY_CLOUDFLARE_API_KEY"
ACCOUNT = "IMAGEGATEWAY_CLOUDFLARE_ACCOUNT_ID"
BFL = "IMAGEGATEWAY_BFL_API_KEY"
KLEIN = "bfl/flux-2-klein-9b"


def catalog_with(*names: str) -> Catalog:
    return Catalog.load(Source(dict.fromkeys(names, "value")))


@pytest.mark.parametrize(
    ("filled", "missing"),
    [((), [TOKEN, ACCOUNT]), ((TOKEN,), [ACCOUNT]), ((ACCOUNT,), [TOKEN]), ((TOKEN, ACCOUNT), [])],
)
def test_route_is_available_when_all_its_settings_are_filled(filled: tuple[str, ...], missing: list[str]) -> None:
    catalog = catalog_with(*filled)
    cloudflare, bfl = describe_model(catalog, catalog.models[KLEIN]).routes
    assert (cloudflare.name, cloudflare.available, list(cloudflare.missing_settings)) == (
        "cloudflare",
        not missing,
        missing,
    )
    assert (bfl.available, list(bfl.missing_settings)) == (False, [BFL])


def test_unavailable_model_names_the_missing_settings_of_each_route() -> None:
    catalog = catalog_with(TOKEN)
    model = catalog.models[KLEIN]
    assert describe_model(catalog, model).unavailable_reason == f"{KLEIN} needs {ACCOUNT}, or {BFL}."
    with pytest.raises(GatewayError) as refused:
        catalog.route(model)
    assert refused.value.reason == ErrorReason.ERROR_REASON_PROVIDER_NOT_CONFIGURED
    assert ACCOUNT in refused.value.message
    assert TOKEN not in refused.value.message


def test_half_configured_route_is_skipped() -> None:
    catalog = catalog_with(TOKEN, BFL)
    assert catalog.route(catalog.models[KLEIN]).name == "bfl"


@pytest.mark.parametrize(
    ("name", "model_id"),
    [
        ("gemini-3-pro-image-preview", "google/gemini-3-pro-image"),
        ("imagen-4.0-generate-001", "google/imagen-4"),
        ("veo-3.1-fast-generate-001", "google/veo-3.1-fast"),
        ("seedream-5-0-lite-260128", "bytedance/seedream-5"),
        ("bytedance/seedream-4.5/edit", "bytedance/seedream-4.5-edit"),
    ],
)
def test_native_and_former_ids_are_aliases(name: str, model_id: str) -> None:
    assert catalog_with().resolve(name).id == model_id


@pytest.mark.parametrize(
    ("operation", "name", "message"),
    [
        (
            "generate",
            "bfl/flux-2-klien-9b",
            r"There is no model 'bfl/flux-2-klien-9b'. Did you mean bfl/flux-2-klein-9b",
        ),
        ("edit", "", r"There is no model ''"),
        ("video", "local/sketch", r"local/sketch makes no videos"),
    ],
)
def test_default_model_that_cannot_serve_is_refused_by_its_setting(operation: str, name: str, message: str) -> None:
    """Such a default would fail the list of models, too."""
    setting = f"IMAGEGATEWAY_DEFAULT_{operation.upper()}_MODEL"
    with pytest.raises(SettingError, match=rf"^{setting}: {message}"):
        catalog_with().check_defaults({**load(Source({})).default_models, operation: name})


def test_default_models_of_the_settings_can_serve() -> None:
    catalog_with().check_defaults(load(Source({})).default_models)
