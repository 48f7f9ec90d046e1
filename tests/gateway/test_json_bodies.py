"""JSON bodies: the same rules on every path, with and without `stream`."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway import inputs, rest
from tests.gateway.inputs import FORM, file_part, form
from tests.gateway.rest import EDITS, GENERATIONS, SMALL, ask, assert_error, generate

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.stack import Stack

BODY = json.dumps(SMALL).encode()


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("GZIP", gzip.compress(BODY, mtime=0)),
        ("x-gzip", gzip.compress(BODY, mtime=0)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", raw_deflate(BODY)),
        ("identity", BODY),
    ],
)
def test_body_with_a_content_encoding_is_unpacked(stack: Stack, encoding: str, packed: bytes) -> None:
    assert ask(stack, "POST", GENERATIONS, packed, {**rest.JSON, "content-encoding": encoding}).status == 200


@pytest.mark.parametrize(
    ("encoding", "damage", "status", "code"),
    [
        ("br", lambda body: body, 415, "unsupported_media_type"),
        ("gzip, gzip", lambda body: body, 415, "unsupported_media_type"),
        ("gzip", lambda body: body, 400, "invalid_value"),
        ("gzip", lambda body: gzip.compress(body)[:-8], 400, "invalid_value"),
        ("gzip", lambda body: gzip.compress(body) + b"x", 400, "invalid_value"),
    ],
    ids=["br", "twice", "not packed", "cut short", "more behind it"],
)
def test_content_encoding_that_can_not_be_unpacked_is_named(
    stack: Stack, encoding: str, damage: Callable[[bytes], bytes], status: int, code: str
) -> None:
    made = form(file_part("image", inputs.image_bytes()), prompt="at night")
    for path, kind, body in ((GENERATIONS, rest.JSON, BODY), (EDITS, FORM, made)):
        answer = ask(stack, "POST", path, damage(body), {**kind, "content-encoding": encoding})
        assert_error(answer, status, code, "Content-Encoding")


def test_form_with_a_content_encoding_is_unpacked(stack: Stack) -> None:
    packed = gzip.compress(form(file_part("image", inputs.image_bytes()), prompt="at night"))
    assert ask(stack, "POST", EDITS, packed, {**FORM, "content-encoding": "gzip"}).status == 200


def test_body_that_unpacks_to_more_than_the_limit_is_413(stack: Stack) -> None:
    packed = gzip.compress(b'{"prompt":"' + b" " * (61 * 1024 * 1024) + b'"}')
    assert len(packed) < 100_000
    answer = ask(stack, "POST", GENERATIONS, packed, {**rest.JSON, "content-encoding": "gzip"})
    assert_error(answer, 413, "request_too_large")


def test_byte_order_mark_is_skipped(stack: Stack) -> None:
    assert ask(stack, "POST", GENERATIONS, b"\xef\xbb\xbf" + BODY, rest.JSON).status == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"prompt": "a boat",}', "trailing comma"),
        (b"{'prompt': 'a boat'}", "line 1, column 2"),
        (b'{"prompt": "a boat", "seed": NaN}', "column 30"),
        (b'{"prompt": "\\ud800"}', "surrogate"),
        (b'{"prompt": "\xff"}', "UTF-8"),
        ('{"prompt": "a boat"}'.encode("utf-16"), "UTF-8"),
        (b'{"prompt": "a boat"} x', "column 22"),
        (b'{"prompt": "a boat\n"}', "control character"),
    ],
)
def test_json_that_is_none_is_refused_in_the_same_words_with_and_without_stream(
    stack: Stack, body: bytes, words: str
) -> None:
    message = assert_error(ask(stack, "POST", GENERATIONS, body, rest.JSON), 400, "invalid_json")
    assert words in message
    assert "boat" not in message
    if body.startswith(b'{"prompt": "a boat",'):
        streamed = ask(stack, "POST", GENERATIONS, body[:-1] + b'"stream": true,}', rest.JSON)
        assert_error(streamed, 400, "invalid_json")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"prompt": "a boat", "prompt": "a dog"}', "prompt"),
        (b'{"prompt": "a boat", "n": 1, "n": 1}', "n"),
        (b'{"prompt": "a boat", "stream": false, "stream": true}', "stream"),
        (b'{"prompt": "a boat", "pr\\u006fmpt": "a dog"}', "prompt"),
        (b'{"prompt": "a \\" boat", "responseFormat": "url", "response_format": "b64_json"}', "response_format"),
    ],
)
def test_field_that_comes_twice_is_named(stack: Stack, body: bytes, param: str) -> None:
    assert_error(ask(stack, "POST", GENERATIONS, body, rest.JSON), 400, "invalid_value", param)


@pytest.mark.parametrize("name", ["steps", "num_images", "width", "extra_body", "image_size"])
def test_field_unknown_is_warned_of_and_refused_under_strict_handling(stack: Stack, name: str) -> None:
    fields: dict[str, Any] = {name: {"seed": 1}}
    answer = generate(stack, **fields)
    assert answer.status == 200
    (warning,) = answer.json()["warnings"]
    assert (warning["code"], warning["param"]) == ("unknown_parameter", name)
    strict = generate(stack, {"prefer": "handling=strict"}, **fields)
    assert_error(strict, 400, "unsupported_parameter", name)


@pytest.mark.parametrize("name", ["image", "images", "image_url", "mask", "mask_url"])
def test_image_sent_to_generations_is_refused_and_not_billed(stack: Stack, name: str) -> None:
    fields: dict[str, Any] = {name: [inputs.data_url(inputs.image_bytes())]}
    message = assert_error(generate(stack, **fields), 400, "unsupported_parameter", name)
    assert EDITS in message


@pytest.mark.parametrize("value", [None, ""])
def test_optional_field_that_is_null_or_empty_is_not_sent(stack: Stack, value: Any) -> None:
    texts = (
        "model",
        "size",
        "quality",
        "style",
        "background",
        "output_format",
        "user",
        "negative_prompt",
        "webhook_url",
    )
    assert generate(stack, **dict.fromkeys((*texts[1:], "aspect_ratio"), value)).status == 200
    url = inputs.data_url(inputs.image_bytes())
    edit = {"prompt": "at night", "image_url": url, **dict.fromkeys((*texts, "mask", "mask_url"), value)}
    assert ask(stack, "POST", EDITS, edit).status == 200


def test_every_field_may_be_null(stack: Stack) -> None:
    nulls = dict.fromkeys(("n", "seed", "stream", "partial_images", "metadata", "loras", "provider_options", "image"))
    assert generate(stack, **nulls).status == 200
    edit = {"prompt": "at night", "image_url": inputs.data_url(inputs.image_bytes()), "images": None, "mask": None}
    assert ask(stack, "POST", EDITS, edit).status == 200


@pytest.mark.parametrize(
    ("field", "value"), [("n", "1"), ("n", 1.0), ("seed", "7"), ("output_compression", "90"), ("stream", "false")]
)
def test_number_or_boolean_as_text_is_accepted(stack: Stack, field: str, value: Any) -> None:
    assert generate(stack, output_format="jpeg", **{field: value}).status == 200


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"n": "many"}, "n", "n must be a whole number."),
        ({"n": True}, "n", "n must be a whole number."),
        ({"n": 1 << 40}, "n", "n is out of range."),
        ({"prompt": ["a boat"]}, "prompt", "prompt must be a string."),
        ({"stream": "yes"}, "stream", "stream must be true or false."),
        ({"seconds": "long"}, "seconds", "seconds must be a number."),
        ({"metadata": []}, "metadata", "metadata must be an object."),
        ({"metadata": {"a": 1}}, "metadata.a", "metadata.a must be a string."),
        ({"loras": {}}, "loras", "loras must be a list."),
        ({"loras": [{"scale": "x"}]}, "loras[0].scale", "loras[0].scale must be a number."),
        ({"provider_options": "x"}, "provider_options", "provider_options must be an object."),
    ],
)
def test_value_of_the_wrong_type_is_explained(stack: Stack, fields: dict[str, Any], param: str, message: str) -> None:
    assert assert_error(generate(stack, **fields), 400, "invalid_value", param) == message


@pytest.mark.parametrize(
    "body", [b'{"a":' + b"[" * 200_000, b"[" + b"0," * 5_000_000 + b"0]", b'{"a":[' + b'"",' * 2_000_000 + b'""]}']
)
def test_body_of_too_many_values_is_413_before_they_are_built(stack: Stack, body: bytes) -> None:
    assert_error(ask(stack, "POST", GENERATIONS, body, rest.JSON), 413, "request_too_large")


def test_provider_key_is_read_by_the_same_rules(stack: Stack) -> None:
    path = "/v1/provider-keys/fal"
    packed = gzip.compress(b'\xef\xbb\xbf{"key": "fal-key-0123456789abcdef"}')
    kind = {"content-type": "APPLICATION/json; charset=utf-8", "content-encoding": "gzip"}
    stored = ask(stack, "PUT", path, packed, kind)
    assert (stored.status, stored.json()["route"]) == (200, "fal")
    assert ask(stack, "DELETE", path).status == 200
    assert_error(ask(stack, "PUT", path, b'{"key": "a", "key": "b"}', rest.JSON), 400, "invalid_value", "key")
    assert_error(ask(stack, "PUT", path, b"{", rest.JSON), 400, "invalid_json")
    assert_error(ask(stack, "PUT", path, b"{}", rest.JSON), 400, "missing_parameter", "key")
    assert_error(ask(stack, "PUT", path, b"key=a", {}), 415, "unsupported_media_type")


def test_call_without_a_key_is_401_whatever_its_body(stack: Stack) -> None:
    for path in (GENERATIONS, EDITS, "/v1/videos/generations"):
        answer = ask(stack, "POST", path, b"{", rest.JSON, key="")
        assert_error(answer, 401, "invalid_api_key", kind="authentication_error")
