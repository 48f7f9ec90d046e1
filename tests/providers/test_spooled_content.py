"""Spooled content: bytes beyond the first MiB leave memory for a file."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.providers.kit.spooled_content import SMALL_BYTES, SpooledContent

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
    spooled = SpooledContent(tmp_path)
    for start in range(0, size, PIECE):
        await spooled.write(bytes(min(PIECE, size - start)))
    filed = sum(os.fstat(file.fileno()).st_size for file in files)
    assert len(files) == (size > SMALL_BYTES)
    assert size - filed <= SMALL_BYTES
    assert len(await spooled.read()) == size
    assert all(file.closed for file in files)
