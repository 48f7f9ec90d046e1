"""Plans of formats, the newest options, unknown fields, and requests without a model."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct, Value
from imagegateway.platform.errors import GatewayError
from imagegateway.platform.setting_source import Source
from imagegateway.providers.catalog import Capability
from imagegateway.router.call_context import Preferences
from imagegateway.router.catalog import Catalog
from imagegateway.router.model_description import describe_model
from imagegateway.router.validation.request import validate_request
from imagegateway.v1 import image_service_pb2 as pb

if TYPE_CHECKING:
    from imagegateway.router.validation.plan import Plan

NEWEST: Final = "openai/gpt-image-2.6-flare"
SKETCH: Final = "local/sketch"
KEYS: Final = {f"IMAGEGATEWAY_{name}_API_KEY": "k" for name in ("OPENAI", "RECRAFT", "STABILITY", "GOOGLE")}
TODAY: Final = date(2026, 11, 28)
CATALOG: Final = Catalog.load(Source(KEYS), today=lambda: TODAY)


def planned(model: str, fields: dict[str, Any], *, strict: bool = False, edit: bool = False, **more: Any) -> Plan:
    values = {"model": model, "prompt": "a fox", **fields}
    request = ParseDict(values, pb.EditRequest() if edit else pb.GenerateRequest())
    return validate_request(request, CATALOG, SKETCH, Preferences(strict=strict), **more)


def refused(model: str, fields: dict[str, Any], **more: Any) -> tuple[str, str | None]:
    with pytest.raises(GatewayError) as caught:
        planned(model, fields, **more)
    return caught.value.code, caught.value.param


def warned(made: Plan) -> list[tuple[str, str]]:
    return [(warning.code, warning.param) for warning in made.warnings]


OPTIONS: Final[list[dict[str, Any]]] = [
    {"safety_identifier": "s-1"},
    {"complexity": "high"},
    {"output_format": "gif", "frame_count": 4},
    {"output_format": "gif", "frame_duration_ms": 120},
    {"output_format": "svg", "svg": {"model": "gpt-5.5", "reasoning": {"effort": "low"}}},
]


@pytest.mark.parametrize("fields", OPTIONS)
@pytest.mark.parametrize("edit", [False, True])
def test_newest_option_reaches_the_model_that_takes_it(fields: dict[str, Any], *, edit: bool) -> None:
    made = planned(NEWEST, fields, strict=True, edit=edit)
    *_, name = fields
    assert getattr(made.task, name) == getattr(ParseDict({name: fields[name]}, pb.GenerateRequest()), name)
    assert made.warnings == ()


@pytest.mark.parametrize("fields", OPTIONS)
@pytest.mark.parametrize("model", [SKETCH, "openai/dall-e-3", "recraft/recraft-v3-svg"])
def test_newest_option_is_a_warning_elsewhere_and_an_error_under_strict(model: str, fields: dict[str, Any]) -> None:
    *_, name = fields
    made = planned(model, {name: fields[name]})
    assert ("unsupported_parameter", name) in warned(made)
    assert len(warned(made)) == 1 + bool(made.model.retired_at)
    assert refused(model, {name: fields[name]}, strict=True) == ("unsupported_parameter", name)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"complexity": "extreme"}, "complexity"),
        ({"frame_count": 1, "output_format": "gif"}, "frame_count"),
        ({"frame_count": 17, "output_format": "gif"}, "frame_count"),
        ({"frame_count": -(1 << 31)}, "frame_count"),
        ({"frame_duration_ms": 0, "output_format": "gif"}, "frame_duration_ms"),
        ({"frame_duration_ms": 655_351, "output_format": "gif"}, "frame_duration_ms"),
        ({"safety_identifier": "x" * 513}, "safety_identifier"),
        ({"svg": {"reasoning": {"effort": "some"}}, "output_format": "svg"}, "svg.reasoning.effort"),
        ({"svg": {"model": "x" * 513}, "output_format": "svg"}, "svg.model"),
        ({"output_format": "svg", "n": 2}, "n"),
        ({"output_format": "gif", "background": "transparent"}, "background"),
        ({"output_format": "bmp"}, "output_format"),
    ],
)
def test_newest_option_out_of_range_is_refused(fields: dict[str, Any], param: str) -> None:
    assert refused(NEWEST, fields) == ("invalid_value", param)


def test_safety_identifier_takes_precedence_over_user() -> None:
    assert planned(NEWEST, {"user": "u"}).task.user == "u"
    both = planned(NEWEST, {"user": "u", "safety_identifier": "s"}).task
    assert (both.user, both.safety_identifier) == ("s", "s")


@pytest.mark.parametrize(
    ("model", "output_format"), [(SKETCH, "gif"), (SKETCH, "svg"), ("recraft/recraft-v3-svg", "gif")]
)
def test_format_that_only_other_models_make_is_refused(model: str, output_format: str) -> None:
    assert refused(model, {"output_format": output_format}) == ("unsupported_parameter", "output_format")


@pytest.mark.parametrize(
    ("model", "output_format"), [(NEWEST, "gif"), (NEWEST, "svg"), ("recraft/recraft-v3-svg", "")]
)
def test_stream_of_a_format_that_events_do_not_know_is_refused(model: str, output_format: str) -> None:
    assert refused(model, {"output_format": output_format, "stream": True}) == ("unsupported_parameter", "stream")


def test_gif_takes_no_mask_and_no_compression() -> None:
    assert refused(NEWEST, {"output_format": "gif"}, edit=True, has_mask=True) == ("invalid_value", "mask")
    made = planned(NEWEST, {"output_format": "gif", "output_compression": 40})
    assert warned(made) == [("unsupported_parameter", "output_compression")]


def test_markup_excludes_a_mask_and_is_for_models_that_take_it() -> None:
    assert warned(planned(NEWEST, {}, edit=True, has_markup=True)) == []
    assert warned(planned(SKETCH, {}, edit=True, has_markup=True)) == [("unsupported_parameter", "markup")]
    assert refused(NEWEST, {}, edit=True, has_mask=True, has_markup=True) == ("invalid_value", "markup")
    both = planned(SKETCH, {}, edit=True, has_mask=True, has_markup=True)
    assert warned(both) == [("unsupported_parameter", "markup")]


@pytest.mark.parametrize(
    ("model", "default"),
    [
        ("gpt-image-2", True),
        ("GPT-Image-2", True),
        ("chatgpt-image-latest", True),
        ("openai/gpt-image-2", False),
        ("dall-e-3", False),
        (SKETCH, False),
        ("", False),
    ],
)
def test_bare_names_of_openai_answer_base64_by_default(model: str, *, default: bool) -> None:
    for edit in (False, True) if model != "dall-e-3" else (False,):
        assert planned(model, {}, edit=edit).b64_json is default
        assert planned(model, {"response_format": "b64_json"}, edit=edit).b64_json
        assert not planned(model, {"response_format": "url"}, edit=edit).b64_json


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    "name", ["image", "images", "image[]", "images[0]", "image_url", "mask", "mask_url", "markup", "image_content"]
)
def test_inputs_of_an_edit_are_refused_on_a_generation(name: str, *, strict: bool) -> None:
    assert refused(SKETCH, {}, unknown=["steps", name][strict:], strict=strict) == ("unsupported_parameter", name)


@pytest.mark.parametrize("name", ["steps", "image_size", "imagery", "masked", "x" * 200])
def test_unknown_field_is_a_warning_and_an_error_under_strict(name: str) -> None:
    assert warned(planned(SKETCH, {}, unknown=[name])) == [("unknown_parameter", name[:100])]
    assert refused(SKETCH, {}, unknown=[name], strict=True) == ("unsupported_parameter", name[:100])


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_number_that_json_can_not_hold_is_refused_in_provider_options(number: float) -> None:
    options = Struct()
    options["fine"] = [1, {"deep": [2]}]
    options["list"] = [1, {"deep": [number]}]
    request = pb.GenerateRequest(model=SKETCH, prompt="a fox", provider_options=options)
    with pytest.raises(GatewayError) as caught:
        validate_request(request, CATALOG, SKETCH, Preferences())
    assert (caught.value.code, caught.value.param) == ("invalid_value", "provider_options.list[1].deep[0]")


def test_option_without_a_value_is_passed_on_as_null() -> None:
    request = pb.GenerateRequest(model=SKETCH, prompt="a fox")
    request.provider_options.fields["nothing"].CopyFrom(Value())
    assert validate_request(request, CATALOG, SKETCH, Preferences()).task.provider_options == request.provider_options


def test_default_without_a_key_is_replaced_with_a_warning() -> None:
    request = pb.GenerateRequest(prompt="a fox")
    made = validate_request(request, CATALOG, "bfl/flux-2-pro", Preferences())
    assert made.model.id == SKETCH
    assert warned(made) == [("default_model_unavailable", "model")]
    assert "IMAGEGATEWAY_BFL_API_KEY" in made.warnings[0].message
    with pytest.raises(GatewayError) as caught:
        validate_request(request, CATALOG, "bfl/flux-2-pro", Preferences(strict=True))
    assert (caught.value.code, caught.value.meaning.http) == ("provider_not_configured", 503)
    assert "IMAGEGATEWAY_BFL_API_KEY" in caught.value.message


def test_strength_of_an_edit_reaches_the_model_that_takes_it() -> None:
    assert planned("recraft/recraft-v3", {"strength": 0.25}, strict=True, edit=True).task.strength == 0.25
    assert warned(planned(SKETCH, {"strength": 1}, edit=True)) == [("unsupported_parameter", "strength")]
    for value in (-0.1, 1.1, "NaN"):
        assert refused("recraft/recraft-v3", {"strength": value}, edit=True) == ("invalid_value", "strength")


def test_default_serves_a_caller_who_brings_its_key() -> None:
    made = validate_request(
        pb.GenerateRequest(prompt="a fox"), CATALOG, "bfl/flux-2-pro", Preferences(), byok={"bfl"}
    )
    assert (made.model.id, made.warnings) == ("bfl/flux-2-pro", ())
    stored = validate_request(
        pb.GenerateRequest(prompt="a fox"), CATALOG, "bfl/flux-2-pro", Preferences(), stored_keys={"bfl": b"sealed"}
    )
    assert (stored.model.id, stored.warnings) == ("bfl/flux-2-pro", ())


def test_warning_of_a_missing_style_names_the_models_styles() -> None:
    (warning,) = planned("recraft/recraft-v3", {"style": "vivid"}).warnings
    assert "no style 'vivid'; its styles are " in warning.message
    assert (
        planned("openai/gpt-image-2", {"style": "vivid"}).warnings[0].message == "openai/gpt-image-2 has no styles."
    )


def test_retired_models_are_unavailable_and_never_suggested() -> None:
    retired = describe_model(CATALOG, CATALOG.models["openai/dall-e-3"])
    assert retired.available is False
    assert "2026-05-12" in retired.unavailable_reason
    assert retired.successor in retired.unavailable_reason
    assert describe_model(CATALOG, CATALOG.models["openai/gpt-image-1.5"]).available, "it is retired in December"
    assert planned("dall-e-3", {}).warnings[0].code == "model_retired"
    listed = CATALOG.with_capability(Capability.IMAGE_TO_IMAGE)
    assert "openai/gpt-image-2" in listed
    assert "openai/gpt-image-1" not in listed
    assert "openai/dall-e-2" not in listed


@pytest.mark.parametrize(
    ("name", "near"), [("openai/gpt-image-1.0", "openai/gpt-image-1.5"), ("dall-e-4", "openai/dall-e-3")]
)
def test_near_matches_are_live_models_where_there_are_any(name: str, near: str) -> None:
    with pytest.raises(GatewayError) as caught:
        CATALOG.resolve(name)
    assert near in caught.value.message
    if near == "openai/gpt-image-1.5":
        assert "openai/gpt-image-1 " not in f"{caught.value.message} "
