"""Guarantees of the media store, on a local directory and on a real S3 server."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import TYPE_CHECKING

import aiohttp
import obstore
import pytest
from imagegateway.media.objects import deletion_time
from imagegateway.media.store import MediaStore, NotFound, StoreUnavailable, TooLarge
from imagegateway.platform.setting_source import SettingError
from obstore.store import from_url

from tests.media.s3_server import BUCKET, S3Server, s3_server
from tests.support.clock import Clock
from tests.support.media import OWNER

if TYPE_CHECKING:
    from pathlib import Path

    from obstore.store import ObjectStore

__all__ = ["s3_server"]

NOON = 1_790_000_000.0  # 2026-09-21T13:33:20Z
DAY = 86_400


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.processes)])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "directory":
        return (tmp_path / "media store").as_uri()
    server: S3Server = request.getfixturevalue("s3_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{secrets.token_hex(8)}"


@pytest.fixture
def store(url: str, clock: Clock) -> MediaStore:
    return MediaStore.open(url, clock)


@pytest.fixture
def raw(url: str, store: MediaStore) -> ObjectStore:
    """Return the same storage without our port, to list the real objects."""
    return from_url(url)


def keys_in(raw: ObjectStore) -> list[str]:
    return sorted(entry["path"] for page in obstore.list(raw) for entry in page)


async def uploaded(store: MediaStore, data: bytes) -> str:
    async with store.upload(len(data)) as upload:
        await upload.write(data)
        return (await upload.finish()).key


async def collected(store: MediaStore, key: str, start: int, length: int) -> list[bytes]:
    return [piece async for piece in store.stream(key, start, length)]


async def test_put_result_is_kept_byte_for_byte_under_its_digest_and_day(store: MediaStore) -> None:
    data = secrets.token_bytes(1_500_000)
    stored = await store.put_result(data, OWNER)
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert stored.key == f"results/2026-09-29/{OWNER.name(stored.sha256)}"
    assert stored.size == len(data)
    assert await store.read(stored.key) == data
    assert await store.size(stored.key) == len(data)


async def test_put_result_twice_is_one_object(store: MediaStore, raw: ObjectStore) -> None:
    first, second = await asyncio.gather(store.put_result(b"same", OWNER), store.put_result(b"same", OWNER))
    assert first == second
    assert keys_in(raw) == [first.key]


@pytest.mark.parametrize("size", [1, 12 * 1024 * 1024 + 7])
async def test_result_in_pieces_is_kept_whole_with_its_digest(store: MediaStore, size: int) -> None:
    data = secrets.token_bytes(size)
    async with store.result(size, OWNER) as upload:
        for start in range(0, size, 1_000_000):
            await upload.write(data[start : start + 1_000_000])
        stored = await upload.finish()
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert stored.key.startswith("results/2026-09-29/")
    assert await store.read(stored.key) == data


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 12 * 1024 * 1024 + 7])
async def test_upload_in_pieces_is_kept_whole(store: MediaStore, raw: ObjectStore, size: int) -> None:
    data = secrets.token_bytes(size)
    async with store.upload(size) as upload:
        for start in range(0, size, 300_000):
            await upload.write(data[start : start + 300_000])
        stored = await upload.finish()
    assert stored.key.startswith("uploads/2026-09-29/")
    assert stored.size == size
    assert await store.digest(stored.key) == hashlib.sha256(data).hexdigest()
    assert await store.read(stored.key) == data
    assert keys_in(raw) == [stored.key]


@pytest.mark.parametrize("limit", [10, 11 * 1024 * 1024])
async def test_upload_over_its_limit_is_refused_at_once_and_leaves_nothing(
    store: MediaStore, raw: ObjectStore, limit: int
) -> None:
    async def work() -> None:
        async with store.upload(limit) as upload:
            await upload.write(bytes(limit))
            await upload.write(b"x")
            pytest.fail("one byte more than the limit was taken")

    with pytest.raises(TooLarge):
        await work()
    assert keys_in(raw) == []


@pytest.mark.parametrize("size", [0, 100, 11 * 1024 * 1024])
async def test_upload_without_finish_leaves_nothing(store: MediaStore, raw: ObjectStore, size: int) -> None:
    async with store.upload(size) as upload:
        await upload.write(bytes(size))
    assert keys_in(raw) == []


async def test_upload_of_a_cancelled_caller_leaves_nothing(store: MediaStore, raw: ObjectStore) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with store.upload(64 * 1024 * 1024) as upload:
            begun.set()
            for _ in range(64):
                await upload.write(bytes(1024 * 1024))
            pytest.fail("it was not cancelled")

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert keys_in(raw) == []


async def test_upload_cancelled_while_it_finishes_leaves_nothing(store: MediaStore, raw: ObjectStore) -> None:
    written = asyncio.Event()

    async def work() -> None:
        async with store.upload(100) as upload:
            await upload.write(b"x" * 100)
            written.set()
            await upload.finish()

    task = asyncio.create_task(work())
    await written.wait()
    for _ in range(3):  # into the flush, and into the commit
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert keys_in(raw) == []


@pytest.mark.parametrize(
    ("start", "length", "pieces"),
    [
        (0, 2_500_000, [1_048_576, 1_048_576, 402_848]),
        (5, 10, [10]),
        (2_499_999, 1, [1]),
        (0, 0, []),
        (1_048_576, 1_048_576, [1_048_576]),
    ],
)
async def test_stream_yields_the_range_in_pieces(
    store: MediaStore, start: int, length: int, pieces: list[int]
) -> None:
    data = secrets.token_bytes(2_500_000)
    key = (await store.put_result(data, OWNER)).key
    answer = await collected(store, key, start, length)
    assert [len(piece) for piece in answer] == pieces
    assert b"".join(answer) == data[start : start + length]


async def test_absent_object_is_not_found(store: MediaStore) -> None:
    key = "results/2026-09-29/" + "0" * 64
    assert await store.size(key) is None
    with pytest.raises(NotFound):
        await store.read(key)
    with pytest.raises(NotFound):
        await collected(store, key, 0, 1)


async def test_delete_removes_present_objects_and_ignores_absent_ones(store: MediaStore, raw: ObjectStore) -> None:
    kept, first, second = [await uploaded(store, bytes([n])) for n in range(3)]
    await store.delete([first, "uploads/2026-09-29/" + "0" * 32, second])
    await store.delete([first])
    await store.delete([])
    assert keys_in(raw) == [kept]


async def test_sweep_keeps_everything_for_seven_full_days(store: MediaStore, clock: Clock) -> None:
    result = (await store.put_result(b"content", OWNER)).key
    upload = await uploaded(store, b"input")
    clock.now = NOON + 7 * DAY
    assert await store.sweep() == 0
    assert await store.read(result) == b"content"
    clock.now = deletion_time(result) - 1
    assert await store.sweep() == 0
    assert await store.read(upload) == b"input"


async def test_sweep_deletes_days_that_have_passed_and_no_others(
    store: MediaStore, raw: ObjectStore, clock: Clock
) -> None:
    await store.put_result(b"one", OWNER)
    await store.put_result(b"two", OWNER)
    await uploaded(store, b"input")
    clock.now = NOON + 3 * DAY
    later = (await store.put_result(b"one", OWNER)).key
    clock.now = NOON + 8 * DAY
    assert await store.sweep() == 3
    assert await store.sweep() == 0
    assert keys_in(raw) == [later]


async def test_sweep_by_several_replicas_at_once(store: MediaStore, raw: ObjectStore, clock: Clock) -> None:
    for n in range(20):
        await store.put_result(bytes([n]), OWNER)
    clock.now = NOON + 8 * DAY
    await asyncio.gather(*(store.sweep() for _ in range(4)))
    assert keys_in(raw) == []


async def test_multipart_uploads_that_end_early_leave_no_parts(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    bucket = f"parts-{secrets.token_hex(4)}"
    store = MediaStore.open(f"s3://{bucket}")
    await uploaded(store, bytes(11 * 1024 * 1024))

    async with store.upload(64 * 1024 * 1024) as upload:
        for _ in range(12):
            await upload.write(bytes(1024 * 1024))
        for _ in range(400):  # the store's client sends parts on its own time
            if begun := await uploads_under_way(s3_server, bucket):
                break
            await asyncio.sleep(0.05)
    assert len(begun) == 1
    for _ in range(400):  # the server forgets them on its own time
        if not (left := await uploads_under_way(s3_server, bucket)):
            break
        await asyncio.sleep(0.05)
    assert not left


async def uploads_under_way(server: S3Server, bucket: str) -> list[str]:
    url = f"{server.filer}/buckets/{bucket}/.uploads/"
    async with (
        aiohttp.ClientSession(headers={"accept": "application/json"}) as session,
        session.get(url) as answer,
    ):
        entries = (await answer.json())["Entries"] or []
    return [entry["FullPath"] for entry in entries]


async def test_check_of_an_existing_bucket_passes(store: MediaStore) -> None:
    await store.put_result(b"a bucket comes into being by its first upload", OWNER)
    await store.check()


async def test_check_of_an_absent_bucket_fails(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreUnavailable):
        await MediaStore.open("s3://there-is-none").check()


async def test_wrong_credentials_are_a_failure_of_the_store_without_its_details(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (s3_server.environment | {"AWS_SECRET_ACCESS_KEY": "wrong"}).items():
        monkeypatch.setenv(name, value)
    store = MediaStore.open(f"s3://{BUCKET}")
    with pytest.raises(StoreUnavailable) as caught:
        await store.put_result(b"content", OWNER)
    assert str(caught.value) == "the media store failed"


@pytest.mark.parametrize("url", ["ftp://host/dir", "memory:///", "file://host/dir", "nonsense", "s3://"])
def test_urls_that_cannot_be_opened_name_the_setting(url: str) -> None:
    with pytest.raises(SettingError, match=r"^IMAGEGATEWAY_MEDIA_URL can't be opened: .*$") as caught:
        MediaStore.open(url)
    assert "\n" not in str(caught.value)
