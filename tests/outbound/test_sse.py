"""Server-sent events in pieces of any length."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagegateway.outbound.sse import Parser

_STREAM = (
    b": keep-alive\n\n"
    b'event: one\ndata: {"a": 1}\n\n'
    b"id: 7\r\ndata:first\r\ndata: second\r\n\r\n"
    b"\n\n"
    b"event: nothing\n\n"
    b"data:\n\n"
    b"data: last\n"
)
_EVENTS = [b'{"a": 1}', b"first\nsecond", b"", b"last"]


def test_event_is_returned_once_it_is_complete() -> None:
    parser = Parser()
    assert parser.feed(b"data: 1\n\ndata: 2\n") == [b"1"]
    assert parser.feed(b"\ndata: 3") == [b"2"]
    assert parser.end() == [b"3"]
    assert parser.end() == []


def test_stream_may_begin_with_an_empty_line() -> None:
    assert Parser().feed(b"\ndata: 1\n\n") == [b"1"]


@given(st.lists(st.integers(0, len(_STREAM)), max_size=12))
def test_pieces_of_any_length_yield_the_same_events(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(_STREAM)]
    parser = Parser()
    found = [event for start, end in itertools.pairwise(edges) for event in parser.feed(_STREAM[start:end])]
    assert found + parser.end() == _EVENTS


@pytest.mark.parametrize("size", [1, 65536])
def test_large_event_is_put_together(size: int) -> None:
    data = b"x" * 200_000
    parser = Parser()
    stream = b"data: " + data + b"\n\n"
    found = [event for at in range(0, len(stream), size) for event in parser.feed(stream[at : at + size])]
    assert found == [data]
