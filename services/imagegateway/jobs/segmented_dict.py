"""Dictionary in segments: no operation takes longer with more entries, and iteration tolerates changes.

A plain dictionary moves all its entries at once when it grows, 5 ms for 175,000 of them, and must be copied before an
iteration that other work interrupts.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

SEGMENT: Final = 500
"""Most entries of one segment."""
_SHARDS: Final = 512
_V = TypeVar("_V")


class SegmentedDict(MutableMapping[str, _V]):
    """Dictionary in order of insertion.

    An iteration yields each entry that exists from its begin to its end, once; it may miss others.
    """

    def __init__(self) -> None:
        self._segments: dict[int, dict[str, _V]] = {0: {}}
        self._length = 0
        self._newest = 0
        """Number of the segment that new entries go to."""
        self._numbers: list[dict[str, int]] = [{} for _ in range(_SHARDS)]
        """Number of each key's segment, in shards by the key's hash."""

    def __getitem__(self, key: str) -> _V:
        return self._segments[self._numbers[hash(key) % _SHARDS][key]][key]

    def __setitem__(self, key: str, value: _V) -> None:
        shard = self._numbers[hash(key) % _SHARDS]
        number = shard.get(key)
        if number is None:
            if len(self._segments[self._newest]) >= SEGMENT:
                self._newest += 1
                self._segments[self._newest] = {}
            number = shard[key] = self._newest
            self._length += 1
        self._segments[number][key] = value

    def __delitem__(self, key: str) -> None:
        number = self._numbers[hash(key) % _SHARDS].pop(key)
        segment = self._segments[number]
        del segment[key]
        self._length -= 1
        left = len(segment)
        if not left and number != self._newest:
            del self._segments[number]
        elif left.bit_count() == 1:
            self._segments[number] = dict(segment)  # frees the memory of deleted entries

    def __contains__(self, key: object) -> bool:
        return key in self._numbers[hash(key) % _SHARDS]

    def __iter__(self) -> Iterator[str]:
        for part in self.slices():
            for key, _ in part:
                yield key

    def __len__(self) -> int:
        return self._length

    def slices(self) -> Iterator[list[tuple[str, _V]]]:
        """Yield all entries in lists of at most `SEGMENT`, each as of the time when it is yielded."""
        found: list[tuple[str, _V]] = []
        for number in list(self._segments):
            if len(found) + len(self._segments.get(number, ())) > SEGMENT:
                yield found
                found = []
            found += self._segments.get(number, {}).items()
        yield found

    def snapshot(self) -> list[_V]:
        """Return all values at once."""
        return [value for segment in self._segments.values() for value in segment.values()]
