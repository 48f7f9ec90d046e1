"""`imagegateway logs`: filters, the last lines, both forms, and lines that come later."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from imagegateway.stack.log_relay import FILE

from tests.support import command
from tests.support.pseudo_terminal import session

if TYPE_CHECKING:
    from pathlib import Path


def line(event: str, level: str = "info", **context: str) -> str:
    return json.dumps({"event": event, "level": level, "process": "router-0", **context}) + "\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a log whose older part holds one line."""
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / FILE
    path.with_name(f"{FILE}.1").write_text(line("oldest"))
    path.write_text(
        line("request_finished", job_id="job_1", request_id="req-1")
        + line("request_refused", "warning", process="envoy", request_id="req-2", trace_id="ab" * 16)
        + "panic: \x1b[2J\n"
        + line("failed", "error", job_id="job_1", trace_id="ab" * 16)
    )
    return path


def events(log: Path, *arguments: str) -> list[str]:
    """Run the command with `--json`. Return the names of the printed events."""
    done = command.run("logs", "--json", *arguments, data_dir=str(log.parents[1]))
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(text)["event"] for text in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ["oldest", "request_finished", "request_refused", "failed"]),
        (("--lines", "1"), ["failed"]),
        (("-n", "0"), []),
        (("--level", "warning"), ["request_refused", "failed"]),
        (("--job", "job_1"), ["request_finished", "failed"]),
        (("--job", "job_1", "--level", "error"), ["failed"]),
        (("--request", "req-2"), ["request_refused"]),
        (("--trace", "ab" * 16), ["request_refused", "failed"]),
        (("--process", "envoy"), ["request_refused"]),
        (("--event", "oldest"), ["oldest"]),
    ],
)
def test_filters_choose_lines_in_their_order(log: Path, arguments: tuple[str, ...], expected: list[str]) -> None:
    assert events(log, *arguments) == expected


def test_lines_are_readable_and_cannot_control_the_terminal(log: Path) -> None:
    shown = command.run("logs", data_dir=str(log.parents[1])).stdout.splitlines()
    assert shown[2].split() == ["warning", "envoy", "request_refused", "request_id=req-2", f"trace_id={'ab' * 16}"]
    assert shown[3] == r"panic: \x1b[2J"


@pytest.mark.processes
def test_new_lines_are_followed_across_a_rotation(log: Path) -> None:
    with session(["logs", "-f", "--lines", "1"], data_dir=str(log.parents[1])) as terminal:
        terminal.expect("failed")
        with log.open("a") as file:
            file.write(line("before_rotation"))
        terminal.expect("before_rotation")
        log.rename(log.with_name(f"{FILE}.1"))
        log.write_text(line("after_rotation"))
        terminal.expect("after_rotation")
        terminal.type("\x03")
        assert terminal.wait() == 130
    assert "Traceback" not in terminal.output


def test_folder_without_a_log_is_named(tmp_path: Path) -> None:
    done = command.run("logs", data_dir=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"there are no logs in {tmp_path}/run" in done.stderr
