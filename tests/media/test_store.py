"""Media store on a local directory. tests/media/test_store_s3.py tests directory and bucket together."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from imagegateway.media import directory
from imagegateway.media.objects import deletion_time
from imagegateway.media.store import MediaStore, NotFound, StoreUnavailable, TooLarge

from tests.support.media import OWNER
from tests.support.metrics import Added

NOON = 1_790_000_000.0  # 2026-09-21T13:33:20Z
DAY = 86_400
SHA = "0" * 64


def open_store(root: Path) -> MediaStore:
    return MediaStore.open(root.as_uri(), lambda: NOON)


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


class Steps:
    """Recorder of flushes and renames, by file name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[str, str]] = []
        fsync, replace = os.fsync, os.replace

        def recording_fsync(handle: int) -> None:
            self.seen.append(("fsync", Path(f"/proc/self/fd/{handle}").readlink().name))
            fsync(handle)

        def recording_replace(source: str, target: str) -> None:
            self.seen.append(("rename", Path(target).name))
            replace(source, target)

        monkeypatch.setattr(os, "fsync", recording_fsync)
        monkeypatch.setattr(os, "replace", recording_replace)


async def test_put_result_flushes_folders_file_and_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(monkeypatch)
    store = open_store(tmp_path / "data" / "media")
    assert steps.seen == [("fsync", tmp_path.name), ("fsync", "data")]
    steps.seen.clear()

    sha = (await store.put_result(b"content", OWNER)).sha256
    flushed = [name for step, name in steps.seen if step == "fsync"]
    assert flushed[:2] == ["results", "media"]
    assert flushed[2].startswith(f"{OWNER.name(sha)}.")
    assert steps.seen[3:] == [("rename", OWNER.name(sha)), ("fsync", "2026-09-29")]

    steps.seen.clear()
    await store.put_result(b"another", OWNER)
    assert len(steps.seen) == 3, "folders are flushed once"


async def test_finish_flushes_file_and_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path)
    steps = Steps(monkeypatch)
    async with store.upload(10) as upload:
        await upload.write(b"input")
        name = (await upload.finish()).key.rpartition("/")[2]
    assert steps.seen[2][1].startswith(f"{name}.")
    assert steps.seen[3:] == [("rename", name), ("fsync", "2026-09-29")]


async def test_files_are_private_to_their_owner(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    key = (await store.put_result(b"content", OWNER)).key
    assert stat.S_IMODE((tmp_path / key).stat().st_mode) == 0o600


async def test_put_result_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    store = open_store(tmp_path)
    await store.put_result(b"makes the folders", OWNER)
    before = files(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailable):
        await store.put_result(b"content", OWNER)
    assert files(tmp_path) == before


async def test_abandoned_upload_removes_its_temporary_file(tmp_path: Path) -> None:
    store = open_store(tmp_path)

    async def work() -> None:
        async with store.upload(8 * 1024 * 1024) as upload:
            await upload.write(bytes(2 * 1024 * 1024))
            assert [Path(name).suffix for name in files(tmp_path)] == [".tmp"]
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await work()
    assert files(tmp_path) == []


async def test_objects_that_are_being_written_are_not_seen(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    async with store.upload(8 * 1024 * 1024) as upload:
        await upload.write(bytes(2 * 1024 * 1024))
        assert [Path(name).suffix for name in files(tmp_path)] == [".tmp"]
        assert await store.sweep() == 0
        stored = await upload.finish()
    assert files(tmp_path) == [stored.key]


async def test_sweep_removes_leftovers_of_a_crash_and_keeps_unknown_names(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for name in ("uploads/2026-09-21/aa.tmp", "uploads/2026-09-21/bb", "uploads/2026-09-22/cc.tmp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for name in ("results/lost+found/x", "other/2020-01-01/x", "results/2020-01-01T00/x"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")
    assert await store.sweep() == 1
    assert files(tmp_path) == [
        "other/2020-01-01/x",
        "results/2020-01-01T00/x",
        "results/lost+found/x",
        "uploads/2026-09-22/cc.tmp",
    ]


async def test_sweep_deletes_a_day_in_batches_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = list[int]()
    delete_some = directory._delete_some

    def recorded(folder: Path) -> list[str]:
        deleted = delete_some(folder)
        batches.append(len(deleted))
        return deleted

    monkeypatch.setattr(directory, "DELETED_FILES", 3)
    monkeypatch.setattr(directory, "_delete_some", recorded)
    (tmp_path / "uploads/2026-09-21/folder").mkdir(parents=True)
    for number in range(7):
        (tmp_path / f"uploads/2026-09-21/{number}").write_bytes(b"x")
    assert await open_store(tmp_path).sweep() == 7
    assert batches == [3, 3, 1, 0]
    assert not (tmp_path / "uploads/2026-09-21").exists()


async def test_removed_folders_are_created_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    key = (await store.put_result(b"content", OWNER)).key
    (tmp_path / key).unlink()
    (tmp_path / key).parent.rmdir()
    await store.put_result(b"content", OWNER)
    assert await store.read(key) == b"content"


async def test_check_fails_when_the_directory_is_gone(tmp_path: Path) -> None:
    store = open_store(tmp_path / "media")
    await store.check()
    (tmp_path / "media").rmdir()
    with pytest.raises(StoreUnavailable):
        await store.check()


async def test_operations_are_timed_by_their_outcome(tmp_path: Path) -> None:
    store = open_store(tmp_path / "media")
    added = Added()
    stored = await store.put_result(b"content", OWNER)
    await store.read(stored.key)
    await store.delete([stored.key])
    with pytest.raises(NotFound):
        await store.read(stored.key)
    await store.check()
    shutil.rmtree(tmp_path / "media")
    with pytest.raises(StoreUnavailable):
        await store.check()
    assert added.series("imagegateway_media_store_duration_seconds_count") == {
        ("write", "done"): 1,
        ("read", "done"): 1,
        ("delete", "done"): 1,
        ("read", "absent"): 1,
        ("check", "done"): 1,
        ("check", "failed"): 1,
    }


MALFORMED = [
    "",
    "results",
    "../secret-key",
    f"results/2026-09-29/../{SHA}",
    f"results/2026-09-29/{SHA}/",
    f"results/2026-09-29/{SHA}\n",
    f"/results/2026-09-29/{SHA}",
    f"results/2026-09-29/{SHA.replace('0', 'A')}",
    f"results/2026-13-29/{SHA}",
    f"results/2026-09-29/{SHA[:32]}",
    f"uploads/2026-09-29/{SHA}",
    f"results/2026-09-29/{SHA}.tmp",
    f"results/٢٠٢٦-09-29/{SHA}",
]


@pytest.mark.parametrize("key", MALFORMED)
async def test_malformed_keys_are_refused_everywhere(tmp_path: Path, key: str) -> None:
    store = open_store(tmp_path)
    with pytest.raises(ValueError):  # noqa: PT011  an impossible date says so in its own words
        await store.read(key)
    with pytest.raises(ValueError):  # noqa: PT011
        await store.size(key)
    with pytest.raises(ValueError):  # noqa: PT011
        await anext(store.stream(key, 0, 1))
    with pytest.raises(ValueError):  # noqa: PT011
        await store.delete([key])


def test_deletion_time_is_midnight_of_the_day() -> None:
    assert deletion_time(f"results/2026-09-29/{SHA}") == 1_790_640_000
    assert deletion_time(f"results/2026-09-29/{SHA}") - NOON >= 7 * DAY


async def test_result_in_chunks_is_hashed_while_written(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    pieces = [bytes([number]) * (1024 * 1024 + number) for number in range(5)]
    async with store.result(8 * 1024 * 1024, OWNER) as upload:
        for piece in pieces:
            await upload.write(piece)
        stored = await upload.finish()
    assert stored.sha256 == hashlib.sha256(b"".join(pieces)).hexdigest()
    assert await store.digest(stored.key) == stored.sha256
    assert stored.key == f"results/2026-09-29/{OWNER.name(stored.sha256)}", "links and ETags name the digest"
    assert files(tmp_path) == [stored.key]


async def test_result_in_pieces_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    async with store.result(3 * 1024 * 1024, OWNER) as upload:
        for _ in range(3):
            await upload.write(bytes(1024 * 1024))
        with pytest.raises(TooLarge):
            await upload.write(b"1")
    assert files(tmp_path) == []


async def test_many_open_streams_read_in_smaller_pieces(tmp_path: Path) -> None:
    store = MediaStore.open(tmp_path.as_uri())
    size = 2 * 1024 * 1024
    key = (await store.put_result(bytes(size), OWNER)).key
    streams: list[Any] = [store.stream(key, size - 1, 1) for _ in range(5000)]
    first: Any = store.stream(key, 0, size)
    assert len(await anext(first)) == 1024 * 1024
    for stream in streams:
        await anext(stream)
    assert len(await anext(first)) == 64 * 1024
    await first.aclose()
    for stream in streams:
        await stream.aclose()
    assert len(await anext(store.stream(key, 0, size))) == 1024 * 1024


async def test_partial_writes_lose_no_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path)
    writev = os.writev
    monkeypatch.setattr(os, "writev", lambda file, chunks: writev(file, [b"".join(chunks)[:1000]]))
    pieces = [bytes([number % 251]) * 7 for number in range(3000)]
    async with store.upload(100_000) as upload:
        for piece in pieces:
            await upload.write(piece)
        stored = await upload.finish()
    assert await store.read(stored.key) == b"".join(pieces)
