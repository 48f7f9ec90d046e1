"""Shared documents: small values in a NATS bucket that every replica changes by compare-and-set.

Changes of one document that arrive while a write is in progress share the next write, so a busy document costs one
write per round trip, however many calls change it.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import nats.errors
from imagegateway.platform import logs, patience
from imagegateway.platform.errors import UnansweredError, UnavailableError
from imagegateway.platform.jetstream_codes import NO_LEADER, WRITE_IN_PROGRESS, WRONG_SEQUENCE
from imagegateway.platform.readiness import ELECTION_SECONDS
from imagegateway.platform.supervision import cancel
from nats.js.errors import APIError, KeyNotFoundError, KeyWrongLastSequenceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.js.kv import KeyValue

_ATTEMPT_SECONDS: Final = 2.0
"""Timeout of one read or write."""
_PATIENCE_SECONDS: Final = ELECTION_SECONDS
"""Time after which no further attempt is made to read a document or to write a change."""
_MAX_PAUSE_SECONDS: Final = 0.05
"""Longest pause after a conflict. Random pauses let each of many replicas succeed."""
_PASSING: Final = frozenset({NO_LEADER, WRONG_SEQUENCE, WRITE_IN_PROGRESS})
"""Codes of refusals after which the write is repeated. nats-py has an error class for conflicts of updates alone."""
_T = TypeVar("_T")
_R = TypeVar("_R")
_log = logs.get(__name__)


@dataclass(slots=True)
class _Known(Generic[_T]):
    """Newest known value of a document. `revision` is 0 before the first write."""

    value: _T
    revision: int


@dataclass(slots=True)
class _Change(Generic[_T]):
    """Change that waits for a write."""

    step: Callable[[_T], tuple[_T, Any]]
    done: asyncio.Future[Any]


class SharedDocuments(Generic[_T]):
    """Documents of one bucket. `empty` is the value of an absent document.

    `deletes_empty`: a document that becomes empty is deleted instead of written.

    `decode` raises ValueError for bytes that are no document; such a document counts as empty and is replaced. A
    server that does not answer is asked again for some time, but not while `outage` is set.
    """

    def __init__(
        self,
        kv: KeyValue,
        *,
        empty: _T,
        encode: Callable[[_T], bytes],
        decode: Callable[[bytes], _T],
        deletes_empty: bool = False,
        outage: asyncio.Event | None = None,
    ) -> None:
        self._kv = kv
        self._outage = outage or asyncio.Event()
        self._empty = empty
        self._encode = encode
        self._decode = decode
        self._deletes_empty = deletes_empty
        self._known: dict[str, _Known[_T]] = {}
        self._waiting: dict[str, list[_Change[_T]]] = {}
        self._writers: dict[str, asyncio.Task[None]] = {}

    async def change(self, name: str, step: Callable[[_T], tuple[_T, _R]]) -> _R:
        """Apply `step` to the newest value of a document, and return the second value that it returns.

        `step` returns the new value and a result. It runs again on a newer value after a conflict, and once more
        after a write without an acknowledgement, so it must be idempotent. An unchanged value causes no write, and
        its result counts only for a value that was read just now. Raises UnavailableError, and what `step` raises.
        """
        change = _Change(step, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(name, []).append(change)
        if name not in self._writers:
            self._writers[name] = asyncio.create_task(self._write_all(name))
        result: _R = await change.done
        return result

    async def read(self, name: str) -> _T:
        """Return the newest value of a document. Raises UnavailableError."""
        before = self._known.get(name)
        found = await self._fetch_patiently(name, self._deadline())
        known = self._known.get(name)
        # A write that ended meanwhile is newer. Without one, a lower revision is that of a recreated bucket.
        if known is None or known is before or known.revision < found.revision:
            self._known[name] = found
        return found.value

    def last_known(self, name: str) -> _T | None:
        """Return the value of this process's last read or write; None before the first one."""
        known = self._known.get(name)
        return None if known is None else known.value

    def forget(self, name: str) -> None:
        """Release the memory of a document that is not in use."""
        if name not in self._writers:
            self._known.pop(name, None)

    async def close(self) -> None:
        """Cancel the writes in progress, and the callers that wait for them."""
        await cancel(*self._writers.values())
        for change in (change for changes in self._waiting.values() for change in changes):
            change.done.cancel()

    async def _write_all(self, name: str) -> None:
        changes: list[_Change[_T]] = []
        try:
            while changes := self._waiting.pop(name, []):
                try:
                    await self._write(name, changes)
                except Exception as error:  # noqa: BLE001  each caller gets the error
                    for change in changes:
                        if not change.done.done():
                            change.done.set_exception(error)
        finally:
            del self._writers[name]
            for change in changes:  # left by a cancellation only
                change.done.cancel()

    async def _write(self, name: str, changes: list[_Change[_T]]) -> None:
        """Apply changes in their order by one write. Raises UnavailableError."""
        deadline, pause = self._deadline(), _MAX_PAUSE_SECONDS / 16
        known, fresh = self._known.get(name), False
        while True:
            if known is None:
                known, fresh = await self._fetch_patiently(name, deadline), True
                self._known[name] = known
            value, results = _apply(known.value, changes)
            if value == known.value:
                if fresh:
                    _answer(results)
                    return
                known = None
                continue
            revision = await self._update(name, value, known.revision)
            if revision is not None:
                self._known[name] = _Known(value, revision)
                _answer(results)
                return
            known = None
            self._known.pop(name, None)
            if self._is_over(deadline):
                raise UnavailableError("the job store does not accept the change")
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311  only spreads load
            pause = min(2 * pause, _MAX_PAUSE_SECONDS)

    async def _update(self, name: str, value: _T, revision: int) -> int | None:
        """Replace the document of a revision, and return the new one.

        None: another replica was faster, or the outcome is unknown. Raises UnavailableError when the server refuses
        the write.
        """
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                if self._deletes_empty and value == self._empty:
                    await self._kv.delete(name, last=revision)
                    return 0  # the deletion's revision is not known: the next write reads it after a conflict
                return await self._kv.update(name, self._encode(value), last=revision)
        except KeyWrongLastSequenceError:
            return None
        except (APIError, nats.errors.MaxPayloadError) as error:
            if isinstance(error, APIError) and error.err_code in _PASSING:
                return None
            _log.error("shared_document_refused", name=name, error=str(error))
            raise UnavailableError("the job store refuses the change") from error
        except (TimeoutError, nats.errors.Error, OSError) as error:
            _log.warning("shared_document_unacknowledged", name=name, error=type(error).__name__)
            return None

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + _PATIENCE_SECONDS

    def _is_over(self, deadline: float) -> bool:
        return self._outage.is_set() or asyncio.get_running_loop().time() > deadline

    async def _fetch_patiently(self, name: str, deadline: float) -> _Known[_T]:
        """Return a document. Repeat the read while the server does not answer. Raises UnavailableError."""
        return await patience.repeat(
            partial(self._fetch, name), UnansweredError, partial(self._is_over, deadline), patience.RETRY_SECONDS
        )

    async def _fetch(self, name: str) -> _Known[_T]:
        """Raise UnansweredError for a read without an answer."""
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                entry = await self._kv.get(name)
        except KeyNotFoundError as error:
            revision = (error.entry.revision or 0) if error.entry else 0
            return _Known(self._empty, revision)
        except (TimeoutError, nats.errors.Error, APIError, OSError) as error:
            raise UnansweredError("the job store does not answer") from error
        try:
            value = self._decode(entry.value or b"")
        except ValueError:
            _log.error("shared_document_unreadable", name=name)
            value = self._empty
        return _Known(value, entry.revision or 0)


class ByteDocuments(SharedDocuments[bytes | None]):
    """Documents as bytes, None where absent, which each operation reads again, as this process keeps none."""

    def __init__(self, kv: KeyValue, outage: asyncio.Event | None = None) -> None:
        super().__init__(
            kv, empty=None, encode=lambda value: value or b"", decode=bytes, deletes_empty=True, outage=outage
        )

    async def change(self, name: str, step: Callable[[bytes | None], tuple[bytes | None, _R]]) -> _R:
        try:
            return await super().change(name, step)
        finally:
            self.forget(name)

    async def read(self, name: str) -> bytes | None:
        try:
            return await super().read(name)
        finally:
            self.forget(name)


def _apply(value: _T, changes: list[_Change[_T]]) -> tuple[_T, list[tuple[asyncio.Future[Any], Any, bool]]]:
    """Return the value after all changes, and each change's result or exception."""
    results: list[tuple[asyncio.Future[Any], Any, bool]] = []
    for change in changes:
        if change.done.done():  # the caller is gone
            continue
        try:
            value, result = change.step(value)
            results.append((change.done, result, True))
        except Exception as error:  # noqa: BLE001  the caller of this change gets the error
            results.append((change.done, error, False))
    return value, results


def _answer(results: list[tuple[asyncio.Future[Any], Any, bool]]) -> None:
    for done, result, succeeded in results:
        if done.done():
            continue  # the caller went away during the write
        if succeeded:
            done.set_result(result)
        else:
            done.set_exception(result)
