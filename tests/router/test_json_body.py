"""JSON parser: the same values as a plain parser, limits before values, readable errors."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagegateway.platform.errors import GatewayError
from imagegateway.router import json_body
from imagegateway.router.json_body import MAX_VALUES

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 53), 1 << 53)
    | st.floats(allow_nan=False, allow_infinity=False)
    # A lone surrogate can't be written as UTF-8.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
MIB = 1024 * 1024


def parse(body: bytes) -> dict[str, Any]:
    return json_body.parse(bytearray(body))


def code_of(body: bytes) -> tuple[str, str | None]:
    with pytest.raises(GatewayError) as caught:
        parse(body)
    return caught.value.code, caught.value.param


@settings(deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON_VALUES, max_size=6), st.booleans())
def test_object_is_read_as_it_was_written(values: dict[str, Any], ascii_only: bool) -> None:
    assert parse(json.dumps(values, ensure_ascii=ascii_only, indent=1).encode()) == values


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\ 1ntrue\n', max_size=60).map(str.encode))
def test_bytes_of_any_kind_are_read_or_refused(body: bytes) -> None:
    refusal: GatewayError | None = None
    try:
        assert isinstance(parse(body), dict)
    except GatewayError as error:
        refusal = error
    if refusal:
        assert refusal.meaning.http in {400, 413}
        assert refusal.message.endswith(".")


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=10), JSON_VALUES, JSON_VALUES)
def test_name_that_comes_twice_is_found_however_it_is_written(name: str, first: Any, second: Any) -> None:
    written = [json.dumps(name), json.dumps(name, ensure_ascii=False)]
    body = f"{{{written[0]}: {json.dumps(first)}, {written[1]}: {json.dumps(second)}}}"
    assert code_of(body.encode()) == ("invalid_value", name[:100])


def test_name_that_comes_twice_in_a_nested_object_is_the_providers_matter() -> None:
    assert parse(b'{"a": {"b": 1, "b": 2}, "c": [{"a": 1}, {"a": 2}]}')["a"] == {"b": 2}


@pytest.mark.parametrize("body", [b"", b" \n", b"\xef\xbb\xbf", b"{}"])
def test_body_without_fields_is_empty(body: bytes) -> None:
    assert parse(body) == {}


@pytest.mark.parametrize("body", [b"[]", b"5", b'"text"', b"null", b"true"])
def test_value_other_than_an_object_is_json_all_the_same(body: bytes) -> None:
    assert code_of(body) == ("invalid_value", "body")


def test_largest_number_of_values_is_taken_and_one_more_refused() -> None:
    largest = b'{"a":[' + b"0," * (MAX_VALUES - 2) + b"0]}"
    assert len(parse(largest)["a"]) == MAX_VALUES - 1
    assert code_of(largest.replace(b"[0", b"[0,0")) == ("request_too_large", None)


def test_commas_and_quotes_in_a_text_are_no_values() -> None:
    text = ', "{[:' * MAX_VALUES
    assert parse(json.dumps({"prompt": text[: MAX_VALUES * 4]}).encode())["prompt"] == text[: MAX_VALUES * 4]


def test_data_url_with_escaped_slashes_is_taken() -> None:
    url = "data:image/png;base64," + "/" * MIB
    assert parse(json.dumps({"image_url": url}).replace("/", "\\/").encode())["image_url"] == url


def test_texts_that_are_not_ascii_are_bounded_together_however_they_are_written() -> None:
    for wide in ("é".encode(), b"\\u00e9", b"\\ud83d\\ude00"):
        text = b'"%s%s"' % (wide, b"a" * (MIB // 4 - 40))
        fitting = b'{"a":[%s]}' % b",".join([text] * 4)
        assert len(parse(fitting)["a"]) == 4
        assert code_of(fitting.replace(b"]", b',"%s"]' % (wide * 100))) == ("request_too_large", None)


def test_data_url_with_escaped_plus_signs_is_taken() -> None:
    url = "data:image/png;base64," + "+" * MIB
    body = json.dumps({"image_url": url, "prompt": "灯台"}).replace("+", "\\u002B")
    assert parse(body.encode())["image_url"] == url


SHAPES = [
    (b"[", b"0,", b"0]"),
    (b"[", b"[],", b"0]"),
    (b'{"a":', b"[", b""),
    (b'{"a":[', b'"",', b'""]}'),
    (b'{"a":[', b"{},", b"{}]}"),
    (b'{"a":"', b"a", b'"}'),
    (b'{"a":"', b'\\"', b'"}'),
    (b'{"a":"', b"\\\\", b'"}'),
    (b'{"a":"\xf0\x9f\x98\x80', b"a", b'"}'),
    (b'{"prompt":"\xf0\x9f\x98\x80","a":"', b"a", b'"}'),
    (b"{", b" ", b"}"),
    (b'{"a":', b"1", b"}"),
    (b"", b"\0", b""),
    (b"", b'"', b""),
    (b'{"a":"', b"a", b'\\ud83d\\ude00"}'),
    (b'{"a":[', b'"%s\xf0\x9f\x98\x80",' % (b"a" * 6000), b"0]}"),
    (b'{"', b"a", b'":1}'),
    (b'{"a":0.', b"1", b"}"),
]
MEASURE = """
import os, sys
from pathlib import Path
from imagegateway.platform.errors import GatewayError
from imagegateway.router.json_body import parse

def peak():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

for start, unit, end in eval(sys.argv[1]):
    if os.fork():
        os.wait()
        continue
    body = bytearray(start + unit * (8 * 1024 * 1024 // len(unit)) + end)
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    before = peak()
    try:
        parse(body)
    except GatewayError:
        pass
    print((peak() - before) / len(body), flush=True)
    os._exit(0)
"""


@pytest.mark.processes
def test_memory_beside_the_body_is_at_most_twice_its_size_for_every_shape() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE, repr(SHAPES)], capture_output=True, text=True, check=True)
    ratios = dict(zip(SHAPES, map(float, done.stdout.split()), strict=True))
    assert max(ratios.values()) < 2.1, ratios
