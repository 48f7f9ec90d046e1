"""Routes of the catalog: selection, fallback and concurrency limits."""

from __future__ import annotations

import pytest
from imagegateway.jobs.limits import LimitKey
from imagegateway.platform import setting_source, settings
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.router.catalog import Catalog

KLEIN = "bfl/flux-2-klein-9b"
KEYS = {"IMAGEGATEWAY_BFL_API_KEY": "b", "IMAGEGATEWAY_CLOUDFLARE_API_KEY": "c", "IMAGEGATEWAY_FAL_API_KEY": "f"}


def catalog(**values: str) -> Catalog:
    return Catalog.load(setting_source.Source(values))


def never_open(_route: str) -> bool:
    return False


def test_next_route_is_ready_and_has_a_closed_breaker() -> None:
    everything, some = catalog(**KEYS), catalog(IMAGEGATEWAY_CLOUDFLARE_API_KEY="c")
    klein = provider.ImageTask(model=KLEIN, route="cloudflare")
    after = everything.fallback(klein, never_open)
    assert after is not None
    assert after.name == "bfl"
    assert everything.fallback(klein, {"bfl"}.__contains__) is None
    assert some.fallback(klein, never_open) is None
    assert everything.fallback(provider.ImageTask(model=KLEIN, route="bfl"), never_open) is None


def test_route_with_an_open_breaker_is_skipped() -> None:
    values = {**KEYS, "IMAGEGATEWAY_REPLICATE_API_KEY": "r", "IMAGEGATEWAY_AUTOMATIC1111_BASE_URL": "http://gpu"}
    sdxl = provider.ImageTask(model="stability-ai/sdxl", route="replicate")
    after = catalog(**values).fallback(sdxl, {"fal"}.__contains__)
    assert after is not None
    assert after.name == "automatic1111"


def test_concurrency_limits_are_those_of_the_catalog() -> None:
    limits = catalog().limits(settings.load(setting_source.Source({})))
    assert (limits.routes["bfl"], limits.routes["ideogram"], limits.routes["automatic1111"]) == (24, 10, 1)
    assert limits.models == {("bfl", "bfl/flux-kontext-max"): 6}
    assert limits.of(limits.key("bfl", "", "bfl/flux-kontext-max")) == 6
    assert limits.of(limits.key("bfl", "key", "bfl/flux-2-pro")) == 24
    assert limits.key("bfl", "key", "bfl/flux-2-pro") == LimitKey("bfl", "key")
    assert limits.routes["fal"] == limits.default == 1000
    assert limits.routes["local"] == 64
    assert set(limits.routes) > {"openai", "google"}


def test_setting_overrides_the_limit_of_a_route_but_not_of_models() -> None:
    values = {"IMAGEGATEWAY_BFL_CONCURRENCY": "100", "IMAGEGATEWAY_FAL_CONCURRENCY": "40"}
    limits = catalog().limits(settings.load(setting_source.Source(values)))
    assert (limits.routes["bfl"], limits.routes["fal"]) == (100, 40)
    assert limits.models == {("bfl", "bfl/flux-kontext-max"): 6}


@pytest.mark.parametrize(
    ("model", "route", "places"),
    [
        ("bfl/flux-2-pro", "bfl", [1, 4, 10]),  # an image is a task
        ("ideogram/ideogram-v3", "ideogram", [1, 4, 10]),  # images are counted, however many a request makes
        ("stability-ai/sdxl", "automatic1111", [1, 1, 1]),  # requests are
        ("stability-ai/sdxl", "fal", [1, 1, 1]),  # nothing is
    ],
)
def test_slots_are_counted_as_the_provider_does(model: str, route: str, places: list[int]) -> None:
    (found,) = [known for known in catalog().models[model].routes if known.name == route]
    assert [found.slots(n) for n in (1, 4, 10)] == places
