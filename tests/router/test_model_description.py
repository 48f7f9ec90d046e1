"""Public description of models: what a form needs to offer every field that a model takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from google.protobuf.json_format import MessageToDict
from imagegateway.platform.setting_source import Source
from imagegateway.router.call_context import Preferences
from imagegateway.router.catalog import Catalog
from imagegateway.router.model_description import describe_model, describe_models
from imagegateway.router.validation.request import validate_request
from imagegateway.v1 import image_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping

CATALOG: Final = Catalog.load(Source({"IMAGEGATEWAY_BFL_API_KEY": "k"}))
DEFAULTS: Final = {"generate": "bfl/flux-2-pro", "edit": "bria/fibo-edit/edit", "video": "google/veo-3.1-fast"}


def described(model: str) -> dict[str, Any]:
    message = describe_model(CATALOG, CATALOG.models[model])
    document: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return document


@pytest.mark.parametrize(
    ("model", "facts"),
    [
        ("google/veo-3.1-fast", {"min_seconds": 4.0, "max_seconds": 8.0, "default_size": "1280x720"}),
        ("openai/dall-e-3", {"styles": ["vivid", "natural"], "default_size": "1024x1024"}),
        ("bfl/flux-2-klein-9b", {"min_side": 256, "max_side": 1920, "max_pixels": 3_686_400, "min_pixels": 65_536}),
        ("openai/gpt-image-2", {"max_aspect_ratio": 3.0, "prompt_required": True}),
        ("bria/eraser", {"prompt_required": False}),
    ],
)
def test_limits_say_what_a_request_may_hold(model: str, facts: Mapping[str, Any]) -> None:
    assert described(model)["limits"].items() >= facts.items()


def test_limits_of_edits_are_shown_where_they_differ() -> None:
    assert described("recraft/recraft-v3")["edit_limits"]["max_side"] > 0
    assert "sizes" in described("recraft/recraft-v3")["limits"]
    assert "edit_limits" not in described("bfl/flux-2-pro")


@pytest.mark.parametrize("model", sorted(CATALOG.models))
def test_every_shown_value_is_accepted_without_a_warning(model: str) -> None:
    capabilities = CATALOG.models[model].capabilities
    if not {"text_to_image", "text_to_video"} & capabilities:
        return
    limits = describe_model(CATALOG, CATALOG.models[model]).limits
    values: list[dict[str, Any]] = [
        *({"size": size} for size in (*limits.sizes, *([limits.default_size] if limits.sizes else []))),
        *({"aspect_ratio": ratio} for ratio in limits.aspect_ratios),
        *({"quality": quality} for quality in limits.qualities),
        *({"style": style} for style in limits.styles),
        *({"fps": rate} for rate in limits.fps),
        *({"seconds": limit} for limit in (limits.min_seconds, limits.max_seconds) if limit),
    ]
    for fields in values:
        request = pb.GenerateRequest(model=model, prompt="a fox", **fields)
        plan = validate_request(request, CATALOG, "", Preferences(), byok={CATALOG.models[model].routes[0].name})
        assert [warning.code for warning in plan.warnings if warning.code != "model_retired"] == [], fields


def test_default_models_are_marked_with_their_substitute_where_they_have_no_key() -> None:
    def by_operation(stored: set[str]) -> dict[str, str]:
        models = describe_models(CATALOG, stored=stored, defaults=DEFAULTS, shows=lambda _id: True)
        return {operation: model.id for model in models for operation in model.default_for}

    assert by_operation(set()) == {
        "generate": "bfl/flux-2-pro",
        "edit": "local/sketch",
        "video": "google/veo-3.1-fast",
    }
    assert by_operation({"bria"})["edit"] == "bria/fibo-edit/edit"
