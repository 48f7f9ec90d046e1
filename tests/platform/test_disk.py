"""Local disks: flushes that threads share."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from imagegateway.platform import disk
from imagegateway.platform.disk import SharedFlush

if TYPE_CHECKING:
    from pathlib import Path


def test_flush_in_progress_does_not_serve_a_thread_that_asks_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def flush(_folder: Path) -> None:
        begun.release()
        assert go_on.acquire(timeout=20)

    monkeypatch.setattr(disk, "flush_directory", flush)
    shared = SharedFlush(tmp_path)
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(shared.flush)
        assert begun.acquire(timeout=20)
        later = [threads.submit(shared.flush) for _ in range(3)]
        go_on.release()
        first.result(20)
        assert begun.acquire(timeout=20)
        assert not any(each.done() for each in later)
        go_on.release(3)
        for each in later:
            each.result(20)


def test_failed_flush_serves_no_other_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_folder: Path) -> None:
        raise OSError(5, "Input/output error")

    shared = SharedFlush(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(disk, "flush_directory", fail)
        for _ in range(2):
            with pytest.raises(OSError, match="Input"):
                shared.flush()
    shared.flush()
