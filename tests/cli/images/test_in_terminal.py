"""The image commands in a real terminal: progress, preview and Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import pseudo_terminal, terminal_images
from tests.support.fake_gateway import HALFWAY, JOB_ID, KEY, QUEUED, RUNNING, FakeGateway, drawing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.pseudo_terminal import Session

    Start = Callable[..., Session]

pytestmark = pytest.mark.processes

_KITTY = b"\x1b_Gi=31;OK\x1b\\\x1b[6;16;8t\x1b[?62;c"
_QUERY = re.compile(r"\x1b_Gi=31[^\x1b]*\x1b\\")


@pytest.fixture
def start(gateway: FakeGateway) -> Start:
    """Start a command in a terminal, with the fake gateway."""
    return lambda *arguments, **options: pseudo_terminal.session(arguments, url=gateway.url, key=KEY, **options)


def test_progress_ends_with_the_preview_and_the_path(start: Start, gateway: FakeGateway) -> None:
    gateway.life = [QUEUED, QUEUED | {"queue_position": 0}, RUNNING, HALFWAY]
    gateway.is_held = True
    with start("generate", "A red fox", "-o", "fox.png", answer=_KITTY) as program:
        for text in ("queued, 2 ahead", "queued, next", "running, 50 %"):
            program.expect(text)
        gateway.is_held = False
        gateway.released.set()
        assert program.wait() == 0
    lines = program.output.replace("\r", "").splitlines()
    assert lines[-2] == "fox.png  48x32, 1 kB"
    assert lines[-1] == f"bfl/flux-2-pro by bfl, 12 s, 0.04 USD (estimate), {JOB_ID}"
    assert program.output.rindex("\x1b[?25h") > program.output.rindex("\x1b[?25l"), "the cursor is visible again"
    shown, _ = terminal_images.kitty(_QUERY.sub("", program.output))
    assert shown.convert("RGB").tobytes() == drawing().tobytes()


def test_bytes_do_not_go_to_a_terminal(start: Start, gateway: FakeGateway) -> None:
    with start("generate", "A red fox", "--output", "-") as program:
        assert program.wait() == 2
    assert "the terminal can't take an image's bytes" in program.output
    assert gateway.received == []


def test_ctrl_c_leaves_the_job_and_names_the_way_back(start: Start, gateway: FakeGateway) -> None:
    gateway.life = [RUNNING, HALFWAY]
    gateway.is_held = True
    with start("generate", "A red fox", "--output", "my fox.png") as program:
        program.expect("running, 50 %")
        program.interrupt()
        assert program.wait() == 130
    assert program.output.replace("\r", "").splitlines()[-3:] == [
        f"Job {JOB_ID} goes on:",
        f"  imagegateway jobs watch {JOB_ID} --output 'my fox.png'",
        f"  imagegateway jobs cancel {JOB_ID}",
    ]
    assert "Traceback" not in program.output
    assert program.output.rindex("\x1b[?25h") > program.output.rindex("\x1b[?25l")
    assert gateway.calls("POST", f"/v1/jobs/{JOB_ID}/cancel") == []


def test_erase_asks_first(start: Start, gateway: FakeGateway) -> None:
    with start("jobs", "erase", JOB_ID) as program:
        program.expect("[y/N]")
        program.type("\n")
        assert program.wait() == 1
    assert gateway.received == []


@pytest.fixture
def slow_hint() -> Iterator[subprocess.Popen[str]]:
    """Start a program whose hint takes a minute."""
    code = (
        "import time\n"
        "from imagegateway.cli.images.interruption import hint_on_interrupt\n"
        "def hint():\n"
        "    print('hint', flush=True)\n"
        "    time.sleep(60)\n"
        "with hint_on_interrupt(hint):\n"
        "    print('wait', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_second_ctrl_c_ends_the_command_at_once(slow_hint: subprocess.Popen[str]) -> None:
    assert slow_hint.stdout
    for line in ("wait", "hint"):
        assert slow_hint.stdout.readline().strip() == line
        slow_hint.send_signal(signal.SIGINT)
    assert slow_hint.wait(10) == -signal.SIGINT
