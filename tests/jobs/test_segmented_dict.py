"""Segmented dictionary: equal to a plain one, in order, and safe to change while it is iterated."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagegateway.jobs import segmented_dict
from imagegateway.jobs.segmented_dict import SEGMENT, SegmentedDict

CHANGES = st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=60)


def filled(count: int) -> SegmentedDict[int]:
    entries = SegmentedDict[int]()
    for number in range(count):
        entries[f"{number}"] = number
    return entries


@given(CHANGES)
def test_it_equals_a_plain_dictionary_after_any_changes(changes: list[tuple[bool, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segmented_dict, "SEGMENT", 3)
        entries, plain = SegmentedDict[int](), dict[str, int]()
        for step, (is_set, number) in enumerate(changes):
            key = f"{number}"
            if is_set:
                entries[key] = plain[key] = step
            else:
                assert entries.pop(key, None) == plain.pop(key, None)
            assert (key in entries, entries.get(key), len(entries)) == (key in plain, plain.get(key), len(plain))
        assert list(entries.items()) == list(plain.items())
        assert entries.snapshot() == list(plain.values())
        assert [entry for part in entries.slices() for entry in part] == list(plain.items())


@given(CHANGES, st.integers(0, 8))
def test_iteration_yields_once_what_exists_all_the_time(changes: list[tuple[bool, int]], begin: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segmented_dict, "SEGMENT", 3)
        entries = filled(begin)
        lasting = set(entries)
        found: list[str] = []
        left = iter(changes)
        for part in entries.slices():
            found += [key for key, _ in part]
            for is_set, number in (change for change, _ in zip(left, range(3), strict=False)):
                if is_set:
                    entries[f"{number}"] = 0
                else:
                    entries.pop(f"{number}", None)
                    lasting.discard(f"{number}")
        assert lasting <= set(found)
        assert all(found.count(key) == 1 for key in lasting)


def test_missing_key_is_an_error() -> None:
    entries = filled(1)
    with pytest.raises(KeyError):
        entries["x"]
    with pytest.raises(KeyError):
        del entries["x"]


def test_deleted_entries_keep_no_memory() -> None:
    entries = filled(10 * SEGMENT)
    for number in range(10 * SEGMENT):
        if number % SEGMENT:
            del entries[f"{number}"]
    assert list(entries.values()) == list(range(0, 10 * SEGMENT, SEGMENT))
    sizes = [sys.getsizeof(segment) for segment in entries._segments.values()]
    assert max(sizes[:-1]) <= sys.getsizeof(dict.fromkeys(map(str, range(8))))
