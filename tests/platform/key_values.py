"""In-memory key-value bucket with faults: lost acknowledgements, conflicts, silence."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import nats.errors
from nats.js.errors import BadRequestError, KeyNotFoundError, KeyWrongLastSequenceError
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
    _revision: int = 0

    def put(self, key: str, value: bytes) -> int:
        """Store a value as another program would."""
        self._revision += 1
        self.values[key] = (self._revision, value)
        self.history.append((key, value))
        return self._revision


class MemoryKeyValue(KeyValue):
    """One connection to a `MemoryBucket`."""

    def __init__(self, bucket: MemoryBucket) -> None:
        self._bucket = bucket

    async def get(self, key: str, revision: int | None = None, validate_keys: bool = True) -> KeyValue.Entry:
        await self._bucket.gate("read")
        self._fail()
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
        self._fail()
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
        self._fail()
        if self._bucket.values[key][0] != last:
            raise BadRequestError(code=400, err_code=10071)
        self._bucket.writes += 1
        del self._bucket.values[key]
        if self._bucket.losing:
            self._bucket.losing -= 1
            raise nats.errors.TimeoutError
        return True

    def _fail(self) -> None:
        if self._bucket.failing:
            self._bucket.failing -= 1
            raise nats.errors.TimeoutError


async def silence(_step: str) -> None:
    """Never answer."""
    await asyncio.Event().wait()
