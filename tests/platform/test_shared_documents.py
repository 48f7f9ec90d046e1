"""Shared documents: conflicts, lost acknowledgements, group commit, unreadable values, cancelled callers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import nats.errors
import pytest
from imagegateway.platform import patience, shared_documents
from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.shared_documents import SharedDocuments
from nats.js.errors import ServiceUnavailableError

from tests.platform.key_values import MemoryBucket, MemoryKeyValue, silence

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Names = frozenset[str]


def _encode(names: Names) -> bytes:
    return ",".join(sorted(names)).encode()


def _decode(value: bytes) -> Names:
    if b"!" in value:
        raise ValueError("not names")
    return frozenset(value.decode().split(",")) - {""}


def _documents(bucket: MemoryBucket, *, deletes_empty: bool = False) -> SharedDocuments[Names]:
    kv = MemoryKeyValue(bucket)
    return SharedDocuments(kv, empty=Names(), encode=_encode, decode=_decode, deletes_empty=deletes_empty)


def _add(name: str) -> Callable[[Names], tuple[Names, int]]:
    """Return a step that adds a name, and its result: the number of names."""

    def step(names: Names) -> tuple[Names, int]:
        return names | {name}, len(names | {name})

    return step


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
async def documents(bucket: MemoryBucket) -> AsyncIterator[SharedDocuments[Names]]:
    found = _documents(bucket)
    yield found
    await found.close()


async def test_known_document_costs_one_write_for_each_change(
    bucket: MemoryBucket, documents: SharedDocuments[Names]
) -> None:
    assert await documents.change("a", _add("one")) == 1
    assert await documents.change("a", _add("two")) == 2
    assert (bucket.reads, bucket.writes) == (1, 2)
    assert documents.last_known("a") == Names({"one", "two"})
    assert documents.last_known("b") is None


async def test_conflict_applies_the_change_to_the_newer_value(bucket: MemoryBucket) -> None:
    first, second = _documents(bucket), _documents(bucket)
    await first.change("a", _add("one"))
    await second.change("a", _add("two"))
    assert await first.change("a", _add("three")) == 3
    assert await second.read("a") == {"one", "two", "three"}


async def test_lost_acknowledgement_applies_the_change_once(
    bucket: MemoryBucket, documents: SharedDocuments[Names]
) -> None:
    bucket.losing = 1
    assert await documents.change("a", _add("one")) == 1
    assert bucket.writes == 1
    assert await documents.read("a") == {"one"}


async def test_request_that_never_arrives_is_repeated(
    bucket: MemoryBucket, documents: SharedDocuments[Names]
) -> None:
    await documents.change("a", _add("one"))
    bucket.failing = 1
    assert await documents.change("a", _add("two")) == 2
    assert bucket.writes == 2


async def test_concurrent_changes_share_one_write(bucket: MemoryBucket, documents: SharedDocuments[Names]) -> None:
    results = await asyncio.gather(*(documents.change("a", _add(str(number))) for number in range(100)))
    assert results == list(range(1, 101))
    assert bucket.writes == 1


async def test_changes_of_many_replicas_all_take_effect(bucket: MemoryBucket) -> None:
    replicas = [_documents(bucket) for _ in range(16)]

    async def count(number: int) -> None:
        for turn in range(10):
            await replicas[number].change("a", _add(f"{number}-{turn}"))

    async def switch(_step: str) -> None:
        await asyncio.sleep(0)

    bucket.gate = switch
    await asyncio.gather(*(count(number) for number in range(16)))
    assert len(await replicas[0].read("a")) == 160


async def test_raising_step_fails_its_own_caller_only(
    bucket: MemoryBucket, documents: SharedDocuments[Names]
) -> None:
    def refuse(names: Names) -> tuple[Names, int]:
        raise LookupError(len(names))

    first, refused, last = await asyncio.gather(
        documents.change("a", _add("one")),
        documents.change("a", refuse),
        documents.change("a", _add("two")),
        return_exceptions=True,
    )
    assert (first, last) == (1, 2)
    assert isinstance(refused, LookupError)
    assert refused.args == (1,)


async def test_step_never_raises_for_a_stale_value(bucket: MemoryBucket) -> None:
    first, second = _documents(bucket), _documents(bucket)
    await first.change("a", _add("one"))
    await second.change("a", lambda _names: (Names(), None))

    def refuse_one(names: Names) -> tuple[Names, int]:
        if "one" in names:
            raise LookupError
        return names, len(names)

    assert await first.change("a", refuse_one) == 0
    assert await first.read("a") == Names()


async def test_unchanged_value_is_read_and_not_written(
    bucket: MemoryBucket, documents: SharedDocuments[Names]
) -> None:
    await documents.change("a", _add("one"))
    assert await documents.change("a", _add("one")) == 1
    assert (bucket.reads, bucket.writes) == (2, 1)


async def test_unreadable_document_is_replaced(bucket: MemoryBucket, documents: SharedDocuments[Names]) -> None:
    bucket.put("a", b"!")
    assert await documents.change("a", _add("one")) == 1
    assert await documents.read("a") == {"one"}


async def test_change_of_a_caller_that_left_before_the_write_has_no_effect(
    bucket: MemoryBucket, documents: SharedDocuments[Names]
) -> None:
    gone = asyncio.create_task(documents.change("a", _add("gone")))
    stays = asyncio.create_task(documents.change("a", _add("stays")))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 1
    assert await documents.read("a") == {"stays"}


async def test_change_of_a_caller_that_leaves_during_the_write_takes_effect(
    bucket: MemoryBucket, documents: SharedDocuments[Names]
) -> None:
    written, release = asyncio.Event(), asyncio.Event()

    async def hold(step: str) -> None:
        if step == "answer":
            written.set()
            await release.wait()

    bucket.gate = hold
    gone = asyncio.create_task(documents.change("a", _add("gone")))
    await written.wait()
    stays = asyncio.create_task(documents.change("a", _add("stays")))
    await asyncio.sleep(0)
    gone.cancel()
    release.set()
    assert await stays == 2
    assert bucket.writes == 2


async def test_silent_server_fails_the_change_within_seconds(
    bucket: MemoryBucket, documents: SharedDocuments[Names], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_documents, "_ATTEMPT_SECONDS", 0.01)
    monkeypatch.setattr(shared_documents, "_PATIENCE_SECONDS", 0.0)
    bucket.gate = silence
    with pytest.raises(UnavailableError, match="does not answer"):
        await documents.change("a", _add("one"))


async def test_change_and_read_wait_for_the_election_of_a_leader(
    bucket: MemoryBucket, documents: SharedDocuments[Names], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "RETRY_SECONDS", 0.0)
    bucket.failing = 5
    assert await documents.change("a", _add("one")) == 1
    bucket.failing = 5
    assert await documents.read("a") == {"one"}
    bucket.failing = 5  # the write, and reads after it
    assert await documents.change("a", _add("two")) == 2
    assert bucket.failing == 0


async def test_write_that_a_cluster_without_a_leader_answers_is_repeated(
    bucket: MemoryBucket, documents: SharedDocuments[Names]
) -> None:
    await documents.change("a", _add("one"))
    bucket.refusing = ServiceUnavailableError(code=503, err_code=10008)

    async def elect(step: str) -> None:
        if step == "read":
            bucket.refusing = None

    bucket.gate = elect
    assert await documents.change("a", _add("two")) == 2


async def test_document_that_becomes_empty_is_deleted_where_the_bucket_is_so_used(bucket: MemoryBucket) -> None:
    kept, deleted = _documents(bucket), _documents(bucket, deletes_empty=True)
    await kept.change("kept", _add("one"))
    await deleted.change("deleted", _add("one"))
    await kept.change("kept", lambda _: (Names(), None))
    await _documents(bucket).change("deleted", _add("two"))  # a conflict for the deletion
    bucket.losing = 1
    await deleted.change("deleted", lambda _: (Names(), None))
    assert list(bucket.values) == ["kept"]
    assert await deleted.change("deleted", _add("three")) == 1


async def test_outage_fails_changes_and_reads_at_once(bucket: MemoryBucket) -> None:
    outage = asyncio.Event()
    documents = SharedDocuments(MemoryKeyValue(bucket), empty=Names(), encode=_encode, decode=_decode, outage=outage)
    bucket.failing = 1_000_000
    waiting = asyncio.create_task(documents.change("a", _add("one")))
    await asyncio.sleep(0)
    outage.set()
    with pytest.raises(UnavailableError, match="does not answer"):
        await waiting
    with pytest.raises(UnavailableError, match="does not answer"):
        await documents.read("a")
    assert 1_000_000 - bucket.failing <= 3


async def test_write_that_is_never_acknowledged_fails_the_change(
    bucket: MemoryBucket, documents: SharedDocuments[Names], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_documents, "_PATIENCE_SECONDS", 0.05)
    await documents.change("a", _add("one"))

    async def lose_writes(step: str) -> None:
        if step == "write":
            raise nats.errors.TimeoutError

    bucket.gate = lose_writes
    with pytest.raises(UnavailableError, match="does not accept"):
        await documents.change("a", _add("two"))
    assert bucket.writes == 1


@pytest.mark.parametrize("error", [ServiceUnavailableError(code=503), nats.errors.MaxPayloadError()])
async def test_refused_write_fails_at_once(
    bucket: MemoryBucket, documents: SharedDocuments[Names], error: Exception
) -> None:
    bucket.refusing = error
    with pytest.raises(UnavailableError, match="refuses"):
        await documents.change("a", _add("one"))
    bucket.refusing = None
    assert await documents.change("a", _add("two")) == 1


async def test_read_that_ends_after_a_write_does_not_hide_it(bucket: MemoryBucket) -> None:
    documents = _documents(bucket)
    await documents.change("a", _add("one"))
    begun, release = asyncio.Event(), asyncio.Event()

    async def hold_the_read(step: str) -> None:
        if step == "answer" and not begun.is_set():
            begun.set()
            await release.wait()

    bucket.gate = hold_the_read
    reading = asyncio.create_task(documents.read("a"))
    await begun.wait()
    await documents.change("a", _add("two"))
    release.set()
    assert await reading == {"one"}
    assert documents.last_known("a") == Names({"one", "two"})


async def test_read_of_a_recreated_bucket_replaces_the_known_value(
    bucket: MemoryBucket, documents: SharedDocuments[Names]
) -> None:
    for name in ("one", "two"):
        await documents.change("a", _add(name))
    bucket.values["a"] = (1, b"new")  # as after the restart of a server without a disk
    assert await documents.read("a") == {"new"}
    assert documents.last_known("a") == Names({"new"})


async def test_close_cancels_writes_and_their_callers(
    bucket: MemoryBucket, documents: SharedDocuments[Names]
) -> None:
    bucket.gate = silence
    waiting = [asyncio.create_task(documents.change(name, _add("one"))) for name in "aab"]
    await asyncio.sleep(0)
    await documents.close()
    await asyncio.wait(waiting)
    assert all(task.cancelled() for task in waiting)


async def test_forgotten_document_is_read_again(bucket: MemoryBucket, documents: SharedDocuments[Names]) -> None:
    await documents.change("a", _add("one"))
    documents.forget("a")
    assert documents.last_known("a") is None
    assert await documents.change("a", _add("two")) == 2
