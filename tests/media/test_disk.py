"""Full, read-only and slow disks: errors of writes, leftover files, and readiness."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest
from imagegateway.media import store
from imagegateway.media.directory import Directory
from imagegateway.media.store import MediaStore, StoreUnavailable
from imagegateway.platform import disk, readiness
from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.readiness import Readiness

from tests.support.media import OWNER
from tests.support.small_disk import SmallDisk, mounted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "disk", 80) as found:
        yield found


def left_behind(root: Path) -> list[str]:
    return [path.name for path in root.rglob("*") if path.is_file() and path.name != "ballast"]


@pytest.mark.processes
async def test_full_disk_is_named_leaves_nothing_and_recovers_by_itself(small_disk: SmallDisk) -> None:
    media = MediaStore.open((small_disk.root / "media").as_uri())
    await media.check()
    small_disk.fill()
    with pytest.raises(StoreUnavailable, match=r"^the media store has no room$"):
        await media.check()
    with pytest.raises(StoreUnavailable, match=r"^the media store has no room$"):
        await media.put_result(os.urandom(100_000), OWNER)
    with pytest.raises(StoreUnavailable, match=r"^the media store has no room$"):
        async with media.upload(10_000_000) as upload:
            await upload.write(os.urandom(3_000_000))
    assert left_behind(small_disk.root) == []
    small_disk.empty()
    await media.check()
    assert await media.read((await media.put_result(b"image", OWNER)).key) == b"image"


@pytest.mark.processes
async def test_nearly_full_disk_takes_results_and_is_not_ready(small_disk: SmallDisk) -> None:
    media = MediaStore.open(small_disk.root.as_uri())
    small_disk.fill(free=disk.RESERVE_BYTES - 1_000_000)
    with pytest.raises(StoreUnavailable, match="has no room"):
        await media.check()
    await media.put_result(b"image", OWNER)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, ""), "the media store has no room"),
        (OSError(errno.EDQUOT, ""), "the media store has no room"),
        (OSError(errno.EROFS, ""), "the media store can't be written"),
        (PermissionError(errno.EACCES, ""), "the media store can't be written"),
        (OSError(errno.EIO, "host 10.0.0.1"), "the media store failed"),
    ],
)
async def test_failed_write_has_a_message_for_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, words: str
) -> None:
    def fail(_handle: int) -> None:
        raise error

    media = MediaStore.open(tmp_path.as_uri())
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreUnavailable) as caught:
        await media.check()
    assert str(caught.value) == words
    assert caught.value.as_gateway_error().message == f"{words[0].upper()}{words[1:]}; try again later."
    assert left_behind(tmp_path) == []


async def test_slow_store_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_self: Directory) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(Directory, "check", hang)
    monkeypatch.setattr(store, "_CHECK_SECONDS", 0.0)
    with pytest.raises(StoreUnavailable, match="does not answer in time"):
        await MediaStore.open(tmp_path.as_uri()).check()


async def test_readiness_checks_once_a_period_and_reports_failed_parts() -> None:
    now = 100.0
    calls = 0
    broken = False

    async def check() -> None:
        nonlocal calls
        calls += 1
        if broken:
            raise UnavailableError("the job store has no room")

    ready = Readiness({"job-store": check}, lambda: now)
    await asyncio.gather(*(ready.refresh() for _ in range(5)))
    assert calls == 1
    ready.require()
    broken = True
    now += readiness.PERIOD
    await ready.refresh()
    assert list(ready.problems) == ["job-store"]
    with pytest.raises(UnavailableError, match="has no room"):
        ready.require()
    assert not ready.has_outage()
    now += readiness.OUTAGE_SECONDS
    await ready.refresh()
    assert ready.has_outage()
    assert str(await ready.outage()) == "the job store has no room"
    broken = False
    now += readiness.PERIOD
    await ready.refresh()
    ready.require()
    assert not ready.has_outage()
    assert calls == 4


async def test_hanging_check_is_reported_and_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hung = threading.Event()
    begun: list[Path] = []

    def hang(folder: Path) -> None:
        begun.append(folder)
        hung.wait()

    monkeypatch.setattr(disk, "check_writable", hang)
    monkeypatch.setattr(readiness, "CHECK_SECONDS", 0.0)
    now = 0.0
    ready = Readiness({"media-store": MediaStore.open(tmp_path.as_uri()).check}, lambda: now)
    for _ in range(3):
        await ready.refresh()
        now += readiness.PERIOD
        assert str(ready.problems["media-store"]) == "the media store does not answer in time"
    assert len(begun) <= 1
    hung.set()


async def test_outage_ends_waits_with_its_reason() -> None:
    now = 0.0

    async def check() -> None:
        raise UnavailableError("the job store has no room")

    async def wait() -> None:
        async with ready.unless_outage():
            await asyncio.Event().wait()

    ready = Readiness({"job-store": check}, lambda: now)
    await ready.refresh()
    early = asyncio.create_task(wait())
    await asyncio.sleep(0)
    now += readiness.OUTAGE_SECONDS
    await ready.refresh()
    for waiting in (early, asyncio.create_task(wait())):
        with pytest.raises(UnavailableError, match="has no room"):
            await waiting


async def test_wait_without_an_outage_has_its_result() -> None:
    ready = Readiness({})
    async with ready.unless_outage():
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with ready.unless_outage():
            raise TimeoutError
