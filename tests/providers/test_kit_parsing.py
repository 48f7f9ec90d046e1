"""Parsing of values in provider responses, whatever their type."""

from __future__ import annotations

import pytest
from imagegateway.providers.kit.parsing import (
    parse_decimal,
    parse_retry_after,
    parse_seed,
    parse_text,
    parse_whole_number,
)

NOON = "Wed, 25 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "86400"}, 3600.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Wed, 25 Nov 2026 12:00:30 GMT", "date": NOON}, 30.0),
        ({"retry-after": "Wed, 25 Nov 2026 11:59:00 GMT", "date": NOON}, None),
        ({"retry-after": "Fri, 27 Nov 2026 12:00:00 GMT", "date": NOON}, 3600.0),
        ({"retry-after": "Wed, 25 Nov 2026 12:00:30 GMT"}, None),
        ({"retry-after": "Wed, 25 Nov 2026 12:00:30", "date": NOON}, None),
        ({"retry-after": "²", "date": NOON}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": f"Wed, 25 Nov 2026 12:00:{'9' * 30} GMT", "date": NOON}, None),
        ({"retry-after": f"Wed, 25 Nov 2026 12:00:30 +{'9' * 30}", "date": NOON}, None),
    ],
)
def test_wait_is_read_in_seconds(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("value", "seed"),
    [
        (7, 7),
        ("7", 7),
        (0, 0),
        ((1 << 32) - 1, (1 << 32) - 1),
        (1 << 32, None),
        (True, None),
        (-1, None),
        ("x", None),
        ("1" * 5000, None),
        (1.5, None),
    ],
)
def test_seed_is_a_number_of_32_bits_or_none(value: object, seed: int | None) -> None:
    assert parse_seed(value) == seed


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7),
        ("7", 7),
        ("²", None),
        ("٣", None),
        ("9" * 5000, None),
        (10**9, None),
        (-1, None),
        (7.0, None),
        (True, None),
    ],
)
def test_whole_number_has_at_most_nine_digits(value: object, number: int | None) -> None:
    assert parse_whole_number(value) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7.0),
        ("0.25", 0.25),
        ("11.012345678901", 11.012345678901),
        ("9" * 400, None),
        ("²", None),
        ("1e9", None),
        ("", None),
    ],
)
def test_decimal_number_has_no_exponent(text: str, number: float | None) -> None:
    assert parse_decimal(text) == number


@pytest.mark.parametrize(("value", "text"), [("a", "a"), (None, ""), (1, ""), ({}, "")])
def test_text_is_text_or_nothing(value: object, text: str) -> None:
    assert parse_text(value) == text
