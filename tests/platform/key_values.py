"""In-memory key-value bucket with faults: lost acknowledgements, conflicts, silence."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import nats.errors
from nats.js.errors import BadRequestError, KeyNotFoundError, KeyWrongLastSequenceError, NotFoundError
from nats.js.kv import KeyValue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def _at_once(_step: str) -> None:
    """No gate."""


@dataclass
class MemoryBucket:
    """Values and revisions of a bucket that several `MemoryKeyValue` share.

    `gate` is awaited before each request (`read`, `write`) and before each answer (`answer`). `losing`: number of
    next writes that are stored without an acknowledgement. `failing`: number of next requests that never arrive.
    `refusing`: error with which the server answers every write.
    """

    values: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    gate: Callable[[str], Awaitable[None]] = _at_once
    losing: int = 0
    failing: int = 0
    refusing: Exception | None = None
    reads: int = 0
    writes: int = 0
    history: list[tuple[str, bytes]] = field(default_factory=list)
    """Keys and values of all writes, in order."""
    revision: int = 0
    """Sequence of the last write."""

    def fail(self) -> None:
        """Raise TimeoutError for a request that never arrives."""
        if self.failing:
            self.failing -= 1
            raise nats.errors.TimeoutError

    def put(self, key: str, value: bytes) -> int:
        """Store a value as another program would."""
        self.revision += 1
        self.values[key] = (self.revision, value)
        self.history.append((key, value))
        return self.revision


class MemoryKeyValue(KeyValue):
    """One connection to a `MemoryBucket`."""

    def __init__(self, bucket: MemoryBucket) -> None:
        self._bucket = bucket

    async def get(self, key: str, revision: int | None = None, validate_keys: bool = True) -> KeyValue.Entry:
        await self._bucket.gate("read")
        self._bucket.fail()
        self._bucket.reads += 1
        if key not in self._bucket.values:
            raise KeyNotFoundError
        seq, value = self._bucket.values[key]
        await self._bucket.gate("answer")
        return KeyValue.Entry(
            bucket="memory", key=key, value=value, revision=seq, delta=None, created=None, operation=None
        )

    async def update(
        self,
        key: str,
        value: bytes,
        last: int | None = None,
        validate_keys: bool = True,
    ) -> int:
        await self._bucket.gate("write")
        self._bucket.fail()
        if self._bucket.refusing:
            raise self._bucket.refusing
        if self._bucket.values.get(key, (0, b""))[0] != (last or 0):
            raise KeyWrongLastSequenceError
        self._bucket.writes += 1
        revision = self._bucket.put(key, value)
        if self._bucket.losing:
            self._bucket.losing -= 1
            raise nats.errors.TimeoutError
        await self._bucket.gate("answer")
        return revision

    async def delete(
        self, key: str, last: int | None = None, validate_keys: bool = True, msg_ttl: float | None = None
    ) -> bool:
        await self._bucket.gate("write")
        self._bucket.fail()
        if self._bucket.values[key][0] != last:
            raise BadRequestError(code=400, err_code=10071)
        self._bucket.writes += 1
        del self._bucket.values[key]
        if self._bucket.losing:
            self._bucket.losing -= 1
            raise nats.errors.TimeoutError
        return True


class MemoryStream:
    """The stream behind a `MemoryBucket`, in place of a JetStream context that reads all values."""

    def __init__(self, bucket: MemoryBucket) -> None:
        self._bucket = bucket

    async def stream_info(self, _name: str) -> Any:
        self._bucket.fail()
        return SimpleNamespace(state=SimpleNamespace(first_seq=1, last_seq=self._bucket.revision))

    async def get_msg(self, name: str, seq: int, **given: object) -> Any:
        self._bucket.fail()
        values = ((at, key, value) for key, (at, value) in self._bucket.values.items())
        found = [each for each in values if (each[0] >= seq if given.get("next") else each[0] == seq)]
        if not found:
            raise NotFoundError
        at, key, value = min(found)
        return SimpleNamespace(seq=at, subject=f"$KV.{name.removeprefix('KV_')}.{key}", data=value, headers=None)


async def silence(_step: str) -> None:
    """Never answer."""
    await asyncio.Event().wait()
