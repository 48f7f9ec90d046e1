"""Two starts on the same data: the first key, the keys of each start, and the printed examples."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.gateway import rest
from tests.gateway.rest import ask
from tests.gateway.test_auth import KEY, WITHIN, create, is_accepted
from tests.support.files import holding
from tests.support.pseudo_terminal import session
from tests.support.stack import assert_gone, eventually, free_port, short_folder, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack


@pytest.fixture(scope="module")
def twice_started() -> Iterator[tuple[str, Stack]]:
    """Yield the first start's output and the stack of the second start on the same data, both without a key setting.

    The first start runs in a terminal and ends by Ctrl-C; the second has two routers.
    """
    with short_folder() as folder:
        with session(["up"], data_dir=str(folder / "data"), port=str(free_port())) as terminal:
            terminal.expect("Ctrl-C stops everything.")
            terminal.type("\x03")
            assert terminal.wait() == 0
        second = start(folder, routers="2")
        try:
            second.wait_ready()
            yield terminal.output.replace("\r\n", "\n"), second
        finally:
            second.stop()


def test_start_on_a_terminal_shows_no_log_lines_but_a_link_to_the_page_with_the_key(
    twice_started: tuple[str, Stack],
) -> None:
    output, stack = twice_started
    (key,) = set(KEY.findall(output))
    before, _, after = output.partition("imagegateway is ready after")
    assert before.strip() == "imagegateway: starting"
    assert re.search(rf"^  web page     http://127\.0\.0\.1:\d+/#key={key}$", after, re.MULTILINE)
    assert "process_stopped" in after.partition("imagegateway: stopping")[2]
    assert "Traceback" not in output
    kept = (stack.data_dir / "run" / "gateway.log").read_text()
    assert "process_started" in kept
    assert key not in kept


def test_first_start_shows_a_key_once_that_works_on_in_the_second(twice_started: tuple[str, Stack]) -> None:
    welcome, stack = twice_started
    (key,) = set(KEY.findall(welcome))
    assert "only this once" in welcome
    assert is_accepted(stack, key)
    assert key not in stack.text()
    assert not holding(stack.data_dir, key)


def test_second_start_prints_a_curl_line_that_works_when_pasted(twice_started: tuple[str, Stack]) -> None:
    _, stack = twice_started
    found = re.search(r"^  curl (?:.*\\\n)+.*$", stack.welcome(), re.MULTILINE)
    assert found
    done = subprocess.run(found[0], shell=True, capture_output=True, text=True, timeout=60, check=True)  # noqa: S602  as a user pastes it
    (item,) = json.loads(done.stdout)["data"]
    assert ask(stack, "GET", rest.link(stack, item["url"]), key="").status == 200


def test_second_start_shows_another_key_that_ends_with_it(twice_started: tuple[str, Stack]) -> None:
    welcome, stack = twice_started
    key = stack.printed_key()
    assert key not in welcome
    assert is_accepted(stack, key)
    assert not holding(stack.data_dir, key)


def test_key_is_followed_by_every_router(twice_started: tuple[str, Stack]) -> None:
    _, stack = twice_started
    secret, key_id = create(stack, "--tenant", "painters")
    eventually(lambda: all(is_accepted(stack, secret) for _ in range(10)), WITHIN, "all accept the new key")
    assert stack.command("keys", "revoke", key_id).returncode == 0
    eventually(lambda: not any(is_accepted(stack, secret) for _ in range(10)), WITHIN, "all refuse the revoked key")


def test_start_makes_a_first_image_and_prints_its_path(twice_started: tuple[str, Stack]) -> None:
    _, stack = twice_started
    assert str(stack.data_dir / "first-image.png") in stack.welcome()
    assert (stack.data_dir / "first-image.png").read_bytes().startswith(b"\x89PNG")


def test_killed_stack_leaves_no_orphan(twice_started: tuple[str, Stack]) -> None:
    """The last test of this stack."""
    _, stack = twice_started
    descendants = stack.descendants()
    assert len(descendants) >= 7, "the process manager and its six processes"
    os.kill(stack.process.pid, signal.SIGKILL)
    stack.process.wait()
    assert_gone(descendants, 20)
