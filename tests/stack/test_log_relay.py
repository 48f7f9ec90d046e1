"""Relay of log lines: file, standard output, rotation, and lines that wait for a start's end."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from imagegateway.platform import settings
from imagegateway.platform.setting_source import Source
from imagegateway.stack.log_relay import FILE, LogRelay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO


def line(event: str, level: str = "info") -> str:
    return json.dumps({"event": event, "level": level, "process": "router-0"}) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


@contextmanager
def relaying(folder: Path, log_format: str, max_bytes: int = 1 << 20) -> Iterator[tuple[LogRelay, IO[str]]]:
    """Yield a relay, and the end of its pipe that a process would write to."""
    values = {"IMAGEGATEWAY_DATA_DIR": str(folder), "IMAGEGATEWAY_LOG_FORMAT": log_format}
    relay = LogRelay(settings.load(Source(values)), max_bytes)
    process = os.fdopen(os.dup(relay.write_end), "w")
    relay.start()
    try:
        yield relay, process
    finally:
        process.close()
        relay.end()


def test_lines_are_whole_and_the_same_in_the_file_and_on_the_output(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with relaying(folder, "json") as (relay, process):
        for part in (line("a")[:9], line("a")[9:] + "panic: b\n", "no end"):
            process.write(part)
            process.flush()
        relay.write(line("c"))
        relay.announce("key igw_secret")
    shown = capfd.readouterr().out
    kept = (folder / "run" / FILE).read_text()
    assert sorted(kept.splitlines()) == sorted([line("a").strip(), "panic: b", "no end", line("c").strip()])
    assert sorted(shown.splitlines()) == sorted([*kept.splitlines(), "key igw_secret"])
    assert "igw_secret" not in kept


def test_terminal_shows_warnings_only_until_the_gateway_is_ready(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with relaying(folder, "pretty") as (relay, _):
        relay.write(line("started"))
        relay.write(line("disk_full", "warning"))
        relay.announce("ready")
        relay.write(line("job_finished"))
    shown = capfd.readouterr().out
    assert [text for text in ("started", "disk_full", "ready", "job_finished") if text in shown] == [
        "disk_full",
        "ready",
        "job_finished",
    ]
    assert "started" in (folder / "run" / FILE).read_text()


def test_failed_start_shows_what_it_withheld(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with relaying(folder, "pretty") as (relay, _):
        relay.write(line("started"))
        relay.reveal()
    assert "started" in capfd.readouterr().out


def test_full_file_is_renamed_and_only_the_last_one_kept(folder: Path) -> None:
    with relaying(folder, "json", max_bytes=100) as (relay, _):
        for number in range(10):
            relay.write(line(f"event{number}"))
    names = sorted(path.name for path in (folder / "run").iterdir())
    assert names == [FILE, f"{FILE}.1"]
    assert sum((folder / "run" / name).stat().st_size for name in names) < 400
    assert "event9" in "".join((folder / "run" / name).read_text() for name in names)


def test_output_without_a_reader_does_not_stop_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as output, relaying(folder, "json") as (relay, _):
        monkeypatch.setattr(sys, "stdout", output)
        relay.write(line("a"))
        relay.write(line("b"))
    assert (folder / "run" / FILE).read_text() == line("a") + line("b")
