"""Provider options: merged with the gateway's fields, or refused in any spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from google.protobuf.json_format import ParseDict
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.setting_source import Source
from imagegateway.providers.kit import reserved_options
from imagegateway.router.call_context import Preferences
from imagegateway.router.catalog import Catalog
from imagegateway.router.validation.request import validate_request
from imagegateway.v1 import image_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Collection

    from imagegateway.router.validation.plan import Plan

_KEYS: Final = ("CLOUDFLARE_API_KEY", "CLOUDFLARE_ACCOUNT_ID", "BFL_API_KEY")
CATALOG: Final = Catalog.load(Source({f"IMAGEGATEWAY_{name}": "set" for name in _KEYS}))
NAMES: Final = reserved_options.paths("num_images", "parameters.sampleCount", "settings.model")


@pytest.mark.parametrize(
    ("options", "blamed"),
    [
        ({"num_images": 2}, "num_images"),
        ({"numImages": 2}, "numImages"),
        ({"NUM-IMAGES": 2}, "NUM-IMAGES"),
        ({"num_images[0]": 2}, "num_images[0]"),
        ({"num_images": {"a": 1}}, "num_images"),
        ({"steps": 3, "parameters": {"x": 1, "sample_count": 2}}, "parameters.sample_count"),
        ({"parameters.sampleCount": 2}, "parameters.sampleCount"),
        ({"parameters[sampleCount]": 2}, "parameters[sampleCount]"),
        ({"parameters": None}, "parameters"),
        ({"parameters": [1]}, "parameters"),
        ({"Settings": {"Model": {"name": "x"}}}, "Settings.Model"),
        ({"prompt": "theirs"}, "prompt"),
        ({"webhookUrl": "https://example.com"}, "webhookUrl"),
    ],
)
def test_reserved_name_is_refused_in_any_spelling(options: dict[str, Any], blamed: str) -> None:
    with pytest.raises(GatewayError) as refused:
        reserved_options.check(options, NAMES)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", f"provider_options.{blamed}")


@pytest.mark.parametrize(
    "options", [{}, {"steps": 3}, {"parameters": {"x": 1}}, {"settings": {}}, {"nested": {"prompt": "theirs"}}]
)
def test_unreserved_option_is_accepted(options: dict[str, Any]) -> None:
    reserved_options.check(options, NAMES)


def test_options_are_merged_beside_and_replace_defaults_only() -> None:
    ours = {"prompt": "a fox", "config": {"seed": 5}}
    defaults = {"steps": 30, "config": {"reason": True}}
    assert reserved_options.merge(ours, {}, defaults) == {
        "prompt": "a fox",
        "steps": 30,
        "config": {"seed": 5, "reason": True},
    }
    options = {"steps": 3, "config": {"reason": False, "x": 1}, "y": [1]}
    assert reserved_options.merge(ours, options, defaults) == {
        "prompt": "a fox",
        "steps": 3,
        "config": {"seed": 5, "reason": False, "x": 1},
        "y": [1],
    }


@pytest.mark.parametrize(
    ("options", "blamed"),
    [({"prompt": "x"}, "prompt"), ({"config": {"Seed": 6}}, "config.Seed"), ({"config": 1}, "config")],
)
def test_option_that_the_request_has_set_is_refused(options: dict[str, Any], blamed: str) -> None:
    with pytest.raises(GatewayError) as refused:
        reserved_options.merge({"prompt": "a fox", "config": {"seed": 5}}, options, {"config": {"reason": True}})
    assert refused.value.param == f"provider_options.{blamed}"


def made(options: dict[str, Any], *, strict: bool = False, byok: Collection[str] = ()) -> Plan:
    fields = {"model": "bfl/flux-2-klein-9b", "prompt": "a fox", "provider_options": options}
    request = ParseDict(fields, pb.GenerateRequest())
    return validate_request(request, CATALOG, "", Preferences(strict=strict), byok=byok)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", ["n", "requests", "input_image_9"])
def test_plan_refuses_reserved_options_of_every_route_that_may_serve(name: str, *, strict: bool) -> None:
    """`requests` is a native field of Cloudflare, the first route; `input_image_9` is one of BFL, a fallback."""
    with pytest.raises(GatewayError) as refused:
        made({name: 1}, strict=strict)
    assert refused.value.param == f"provider_options.{name}"


def test_plan_with_a_callers_key_checks_only_its_route() -> None:
    assert made({"requests": 1}, byok={"bfl"}).route.name == "bfl"
    assert made({"guidance": 3}).task.provider_options["guidance"] == 3


def test_flattened_name_is_that_of_its_path_without_indexes() -> None:
    assert reserved_options.paths("a[0][b]", "a.b", "a[b]") == {("a", "b")}
