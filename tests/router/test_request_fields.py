"""Typed requests from plain values: every field's rules, and names in errors."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from imagegateway.platform.errors import GatewayError
from imagegateway.router import request_fields
from imagegateway.v1 import image_service_pb2 as pb

NAMES = sorted(pb.EditRequest.DESCRIPTOR.fields_by_name)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def built(**values: Any) -> dict[str, Any]:
    request, unknown = request_fields.build(pb.EditRequest, values)
    assert not unknown
    found: dict[str, Any] = MessageToDict(request, preserving_proto_field_name=True)
    return found


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
def test_values_of_any_kind_are_built_or_refused_by_name(values: dict[str, Any]) -> None:
    names = set(values)
    refusal: GatewayError | None = None
    try:
        request, _ = request_fields.build(pb.EditRequest, values)
        request.SerializeToString()
    except GatewayError as error:
        refusal = error
    if refusal:
        assert refusal.code == "invalid_value"
        assert str(refusal.param).partition(".")[0].partition("[")[0] in names


@pytest.mark.parametrize(
    ("value", "whole"), [(1, 1), (1.0, 1), ("1", 1), (" 2 ", 2), ("3.0", 3), ("+4", 4), (-5, -5)]
)
def test_whole_number_is_taken_as_number_or_text(value: Any, whole: int) -> None:
    assert built(n=value) == {"n": whole}


@pytest.mark.parametrize("value", [None, ""])
def test_null_and_empty_text_count_as_absent(value: Any) -> None:
    for name in NAMES:
        assert built(**{name: value}) == {}, name
    assert built(loras=[{"url": "u", "id": value, "scale": value}]) == {"loras": [{"url": "u"}]}


@pytest.mark.parametrize("value", ["²", "1.5", 1.5, " ", "1e3", True, [1], {}, math.nan, math.inf, 1 << 31, "x"])
def test_whole_number_of_another_kind_is_refused(value: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        built(n=value)
    assert caught.value.param == "n"


@pytest.mark.parametrize("value", [math.nan, -math.inf, 10**400])
def test_number_that_is_not_finite_is_refused_in_objects_too(value: Any) -> None:
    for name, given_value in (("seconds", value), ("provider_options", {"a": [{"b": value}]})):
        with pytest.raises(GatewayError) as caught:
            built(**{name: given_value})
        assert str(caught.value.param).startswith(name)


def test_object_nested_too_deeply_is_refused() -> None:
    value: Any = 1
    for _ in range(1000):
        value = [value]
    with pytest.raises(GatewayError, match="nested too deeply"):
        built(provider_options={"a": value})


def test_name_in_camel_case_is_the_same_field() -> None:
    assert built(negativePrompt="rain") == {"negative_prompt": "rain"}
    with pytest.raises(GatewayError, match="twice"):
        built(negativePrompt="rain", negative_prompt="rain")


def test_unknown_names_are_returned_with_their_path() -> None:
    request, unknown = request_fields.build(
        pb.EditRequest, {"steps": 1, "loras": [{"id": "x", "weight": 1}], "gone": None}
    )
    assert (unknown, request.loras[0].id) == (["steps", "loras[0].weight"], "x")


def test_large_values_are_released_during_conversion() -> None:
    values = {"image_url": "data:,x", "images": ["data:,y"]}
    request_fields.build(pb.EditRequest, values)
    assert values == {}


def test_object_or_text_is_taken_where_both_mean_an_image() -> None:
    assert built(images=["a", {"image_url": "b"}], mask={"image_url": "c"})["images"] == ["a", {"image_url": "b"}]
    assert built(mask="", images=[]) == {}


def test_bytes_are_base64() -> None:
    assert built(image_content=["aGk="])["image_content"] == ["aGk="]
    with pytest.raises(GatewayError) as caught:
        built(image_content=["#"])
    assert caught.value.param == "image_content[0]"
