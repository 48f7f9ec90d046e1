"""Text fields of a form as a request: empty, repeated, nested and invalid ones."""

from __future__ import annotations

import re
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from imagegateway.platform.errors import GatewayError
from imagegateway.router import form_fields
from imagegateway.v1 import image_service_pb2 as pb

URL = "https://a.example/x.png"


def read(*fields: tuple[str, str]) -> dict[str, Any]:
    request, unknown = form_fields.read(fields)
    assert unknown == []
    return MessageToDict(request, preserving_proto_field_name=True)


def refused(*fields: tuple[str, str]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        form_fields.read(fields)
    assert caught.value.code == "invalid_value"
    return caught.value


def test_empty_field_counts_as_absent() -> None:
    for name in (*pb.EditRequest.DESCRIPTOR.fields_by_name, "image", "images[]", "svg[model]", "no_such"):
        assert read((name, "")) == {}, name


def test_null_counts_as_absent() -> None:
    for name in ("images", "mask", "markup", "metadata", "loras", "provider_options", "svg"):
        assert read((name, "null")) == {}, name


def test_value_after_an_empty_one_counts() -> None:
    assert read(("size", ""), ("size", "64x64"), ("size", "")) == {"size": "64x64"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ([("prompt", "cat"), ("prompt", "dog")], "prompt"),
        ([("prompt", "cat"), ("prompt", "cat")], "prompt"),
        ([("n", "1"), ("n", "2")], "n"),
        ([("stream", "true"), ("stream", "false")], "stream"),
        ([("metadata", "{}"), ("metadata", "{}")], "metadata"),
        ([("metadata[a]", "1"), ("metadata[a]", "2")], "metadata[a]"),
        ([("metadata[a]", "1"), ("metadata", '{"b": "2"}')], "metadata"),
        ([("metadata", '{"b": "2"}'), ("metadata[a]", "1")], "metadata"),
        ([("svg[model]", "a"), ("svg[model]", "b")], "svg[model]"),
        ([("mask_url", URL), ("mask_url", URL)], "mask_url"),
    ],
)
def test_field_that_comes_twice_is_refused(fields: list[tuple[str, str]], param: str) -> None:
    assert refused(*fields).param == param


@pytest.mark.parametrize(
    "fields",
    [
        [("images", URL), ("images", URL)],
        [("images[]", URL), ("images[]", URL)],
        [("images[0]", URL), ("images[1]", URL)],
        [("images", f'["{URL}", "{URL}"]')],
        [("images", f'["{URL}"]'), ("images", URL)],
    ],
)
def test_list_may_come_in_several_fields(fields: list[tuple[str, str]]) -> None:
    assert read(*fields) == {"images": [URL, URL]}


def test_objects_in_brackets_are_read() -> None:
    fields = [
        ("svg[model]", "gpt-5.5"),
        ("svg[reasoning][effort]", "low"),
        ("metadata[1]", "one"),
        ("metadata[]", "none"),
        ("provider_options[a][0][b]", "7"),
        ("loras[0][url]", URL),
        ("loras[0][scale]", "0.5"),
        ("mask[image_url]", URL),
    ]
    assert read(*fields) == {
        "svg": {"model": "gpt-5.5", "reasoning": {"effort": "low"}},
        "metadata": {"1": "one", "": "none"},
        "provider_options": {"a": [{"b": 7.0}]},
        "loras": [{"url": URL, "scale": 0.5}],
        "mask": {"image_url": URL},
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("images[²]", URL),
        ("images[99999]", URL),
        (f"images[{'9' * 5000}]", URL),
        ("images[a]", URL),
        ("loras[0]", URL),
        ("provider_options" + "[a]" * 40, "1"),
        ("provider_options", '{"a": NaN}'),
        ("provider_options", '{"a": -Infinity}'),
        ("provider_options", '{"a": 1e999}'),
        ("provider_options", '{"a": 1' + "0" * 400 + "}"),
        ("provider_options", '{"a": ' + "1" * 5000 + "}"),
        ("provider_options", '{"a": 1, "a": 2}'),
        ("provider_options", "[" * 10_000),
        ("provider_options", '{"a": "\\ud800"}'),
        ("provider_options", "7"),
        ("metadata", '{"a": 7}'),
        ("metadata", '{"\\ud800": 1}'),
        ("images", "[" + "[]," * 16 + "[]]"),
        ("loras", '[{"scale": NaN}]'),
        ("images", '[{"image_url":'),
        ("n", "²"),
        ("n", "٣"),
        ("n", "1.5"),
        ("n", "9" * 18),
        ("seconds", "nan"),
        ("seconds", "inf"),
        ("seconds", "1_000"),
        ("stream", "yes"),
    ],
)
def test_invalid_value_is_refused(name: str, text: str) -> None:
    base = name.partition("[")[0]
    assert re.split(r"[.[]", str(refused((name, text)).param))[0] == base


def test_json_of_more_values_than_a_body_may_have_is_too_large() -> None:
    with pytest.raises(GatewayError) as caught:
        form_fields.read([("provider_options", '{"a": [' + "0," * 10_000 + "0]}")])
    assert (caught.value.code, caught.value.param) == ("request_too_large", "provider_options")


@pytest.mark.parametrize("name", ["nosuch", "image_content", "mask_content", "images[²", "request"])
def test_unknown_field_is_named(name: str) -> None:
    assert form_fields.read([(name, "x")])[1] == [name]


def test_unknown_nested_field_is_named() -> None:
    assert form_fields.read([("loras", '[{"weight": 1}]'), ("svg", '{"nosuch": 1}')])[1] == [
        "loras[0].weight",
        "svg.nosuch",
    ]


_NAMES = st.sampled_from([*pb.EditRequest.DESCRIPTOR.fields_by_name, "image", "x"])
_BRACKETS = st.lists(
    st.sampled_from(["[]", "[0]", "[1]", "[a]", "[²]", "[image_url]", "[url]", "[model]"]), max_size=4
)
_TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            "1",
            "-1",
            "1e9",
            "NaN",
            "null",
            "true",
            "[]",
            "{}",
            '{"a":1}',
            "[null]",
            '["x"]',
            "[[]]",
            '""',
            '{"\\ud800": 1}',
        ]
    ),
)


@given(st.lists(st.tuples(_NAMES, _BRACKETS.map("".join), _TEXTS), max_size=6))
def test_any_fields_are_a_request_or_one_error(fields: list[tuple[str, str, str]]) -> None:
    try:
        form_fields.read([(name + brackets, text) for name, brackets, text in fields])
    except GatewayError as error:
        assert error.code == "invalid_value"  # noqa: PT017  either outcome is right, no other is
        assert f"{error.message}{error.param}".encode()  # noqa: PT017
