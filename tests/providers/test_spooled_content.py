"""Spooled content: bytes beyond the first MiB leave memory for a file."""

from __future__ import annotations

import asyncio
import os
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.providers.kit.spooled_content import SMALL_BYTES, SpooledContent, SpoolMemory

if TYPE_CHECKING:
    from pathlib import Path

PIECE = 300_000


@pytest.mark.parametrize("size", [SMALL_BYTES, SMALL_BYTES + 1, 10 * SMALL_BYTES])
async def test_at_most_one_mib_of_a_large_response_stays_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    files: list[Any] = []
    open_file: Any = tempfile.TemporaryFile

    def opened(**options: Any) -> object:
        files.append(open_file(**options))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", opened)
    spooled = SpooledContent(tmp_path, SpoolMemory(0))
    for start in range(0, size, PIECE):
        await spooled.write(bytes(min(PIECE, size - start)))
    filed = sum(os.fstat(file.fileno()).st_size for file in files)
    assert len(files) == (size > SMALL_BYTES)
    assert size - filed <= SMALL_BYTES
    assert len(await spooled.read()) == size
    assert all(file.closed for file in files)


async def test_small_response_is_read_without_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "to_thread", None)
    spooled = SpooledContent(tmp_path, SpoolMemory(0))
    await spooled.write(b"small")
    assert await spooled.read() == b"small"


async def test_content_stays_in_memory_while_there_is_room_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    memory = SpoolMemory(3 * SMALL_BYTES)
    first, second = SpooledContent(tmp_path, memory), SpooledContent(tmp_path, memory)
    for _ in range(2):
        await first.write(bytes(SMALL_BYTES))
        await second.write(bytes(SMALL_BYTES // 2))
    assert not memory.reserve(SMALL_BYTES + 1)  # content up to SMALL_BYTES is not counted
    assert len(await first.read()) == 2 * SMALL_BYTES
    first.close()
    assert memory.reserve(3 * SMALL_BYTES)
    assert not memory.reserve(1)


async def test_content_over_four_mib_leaves_memory(tmp_path: Path) -> None:
    memory = SpoolMemory(10 * SMALL_BYTES)
    spooled = SpooledContent(tmp_path, memory)
    for _ in range(5):
        await spooled.write(bytes(SMALL_BYTES))
    assert memory.reserve(10 * SMALL_BYTES)
    assert len(await spooled.read()) == 5 * SMALL_BYTES
