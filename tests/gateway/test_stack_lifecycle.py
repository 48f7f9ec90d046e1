"""`imagegateway up` as a process manager: failed starts, children that die, and every way to stop."""

from __future__ import annotations

import http.client
import json
import re
import secrets
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.gateway import rest
from tests.gateway.inputs import FORM, file_part, form, image_bytes
from tests.gateway.rest import EDITS, SMALL, ask
from tests.support import command
from tests.support.stack import assert_gone, eventually, free_port, is_gone, short_folder, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psutil  # type: ignore[import-untyped]  # ships no types

    from tests.support.stack import Stack

AGAIN = 30.0
"""Seconds until a killed process must serve again."""
CHILDREN = ("nats", "providers", "media", "router", "envoy")


def serves(stack: Stack) -> bool:
    """Return True if the stack makes an image and serves it."""
    try:
        if ask(stack, "GET", "/readyz", key="").status != 200:
            return False
        answer = ask(stack, "POST", rest.GENERATIONS, dict(SMALL))
        if answer.status != 200:
            return False
        link = rest.link(stack, answer.json()["data"][0]["url"])
        return ask(stack, "GET", link, key="").status == 200
    except OSError:
        return False


def kill(stack: Stack, name: str) -> psutil.Process:
    """Kill a child by SIGKILL and return the killed process."""
    process = stack.running_child(name)
    process.kill()
    eventually(lambda: is_gone(process), AGAIN, f"{name} is dead")
    return process


def is_back(stack: Stack, name: str, killed: psutil.Process) -> bool:
    process = stack.child(name)
    return process is not None and process.pid != killed.pid


def health(stack: Stack) -> tuple[int, list[str]]:
    """Return the status of `/readyz` on the port for metrics, and the parts that are not ready."""
    connection = http.client.HTTPConnection("127.0.0.1", int(stack.values["metrics_port"]), timeout=30)
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read()).get("not_ready", [])


def slow(stack: Stack, request_id: str, seconds: float, **fields: str) -> rest.Answer:
    body = {**SMALL, "provider_options": {"delay": seconds}, **fields}
    return ask(stack, "POST", rest.GENERATIONS, body, {"x-request-id": request_id})


@pytest.fixture(scope="module")
def victim() -> Iterator[Stack]:
    """Yield a stack in a deep folder whose children may be killed, with a log line for each started task."""
    with short_folder() as folder:
        deep = folder / "100% of a folder's name" / ("d" * 200)
        deep.mkdir(parents=True)
        stack = start(deep, api_key=f"key-{secrets.token_hex(16)}", log_level="debug", lame_duck="3600")
        try:
            stack.wait_ready()
            yield stack
        finally:
            if stack.process.poll() is None:
                stack.process.send_signal(signal.SIGTERM)
                eventually(lambda: health(stack)[0] == 503, AGAIN, "the lame duck has begun")
            assert stack.stop() == 0
    assert not stack.socket("router-0").parent.exists()


def test_start_on_a_busy_port_fails_naming_the_port() -> None:
    with short_folder() as folder, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command.spawn("up", data_dir=str(folder), port=str(port))
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "IMAGEGATEWAY_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_start_on_a_data_directory_in_use_fails_naming_the_directory_and_its_user(victim: Stack) -> None:
    done = command.spawn("up", data_dir=str(victim.data_dir), port=str(free_port()))
    assert done.returncode == 1
    assert str(victim.data_dir) in done.stderr
    assert str(victim.process.pid) in done.stderr
    assert "IMAGEGATEWAY_DATA_DIR" in done.stderr
    assert serves(victim)


def test_stack_in_a_deep_folder_with_spaces_serves_and_its_commands_reach_it(victim: Stack) -> None:
    assert serves(victim)
    assert command.spawn("keys", "create", "--tenant", "deep", **victim.values).returncode == 0
    assert "deep" in command.spawn("keys", "list", **victim.values).stdout


def test_child_that_can_not_run_ends_the_stack_with_a_clear_message() -> None:
    with short_folder() as folder:
        (folder / "data").mkdir(mode=0o700)
        (folder / "data" / "nats").write_text("a file where nats-server needs a folder")
        stack = start(folder)
        eventually(lambda: bool(stack.descendants()) or stack.process.poll() is not None, 30, "it has begun")
        stack.process.wait(60)
        assert_gone(stack.known)
        assert stack.process.returncode == 1
        last = stack.text().splitlines()[-1]
        assert re.match(r"imagegateway: .*nats can't be kept running", last), last


@pytest.mark.parametrize("name", CHILDREN)
def test_child_killed_is_missed_in_readiness_and_started_again(victim: Stack, name: str) -> None:
    eventually(lambda: health(victim) == (200, []), AGAIN, "all processes are ready")
    manager = victim.running_child("process-manager")
    manager.suspend()  # a start takes milliseconds
    try:
        killed = kill(victim, name)
        if process := {"providers": "providers", "media": "media", "router": "router-0"}.get(name):
            assert health(victim) == (503, [f"{process}: does not answer"])
    finally:
        manager.resume()
    eventually(lambda: is_back(victim, name, killed), AGAIN, f"{name} is back")
    eventually(lambda: serves(victim), AGAIN, "the stack serves again")


def test_nats_that_takes_no_writes_is_restarted_when_its_disk_has_room(victim: Stack) -> None:
    stuck = victim.running_child("nats")
    with (victim.data_dir / "run" / "nats.log").open("a") as log:
        log.write("[ERR] JetStream stream '$G > JOBS' critical write error: no space left on device\n")
    eventually(lambda: is_back(victim, "nats", stuck), AGAIN, "nats is back")
    eventually(lambda: serves(victim), AGAIN, "the stack serves again")


def test_keys_are_followed_across_a_restart_of_nats(victim: Stack) -> None:
    killed = kill(victim, "nats")
    eventually(lambda: is_back(victim, "nats", killed), AGAIN, "nats is back")
    made: list[str] = []

    def create() -> bool:
        done = victim.command("keys", "create", "--tenant", "painters")
        made.append(done.stdout.strip())
        return done.returncode == 0

    eventually(create, AGAIN, "a key can be made")
    eventually(lambda: ask(victim, "GET", "/v1/models", key=made[-1]).status == 200, AGAIN, "the key is accepted")


def begun(stack: Stack) -> int:
    """Return the number of tasks that the provider server has started."""
    return sum('"task_started"' in line for line in stack.log_lines())


def test_slow_image_survives_a_kill_of_its_provider_server(victim: Stack) -> None:
    before = begun(victim)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(slow, victim, f"slow-{secrets.token_hex(8)}", 2.0)
        eventually(lambda: begun(victim) > before, AGAIN, "the task has begun")
        kill(victim, "providers")
        assert answer.result().status == 200


def as_form(stack: Stack, request_id: str, seconds: float) -> rest.Answer:
    """Return a slow edit, sent as a form."""
    body = form(file_part("image", image_bytes()), prompt="at night", provider_options=json.dumps({"delay": seconds}))
    return ask(stack, "POST", EDITS, body, {**FORM, "x-request-id": request_id})


def as_base64(stack: Stack, request_id: str, seconds: float) -> rest.Answer:
    """Return a slow generation whose response has the image itself."""
    return slow(stack, request_id, seconds, response_format="b64_json")


@pytest.mark.parametrize("send", [slow, as_form, as_base64])
def test_router_killed_in_a_call_is_an_error_that_no_sdk_repeats(
    victim: Stack, send: Callable[[Stack, str, float], rest.Answer]
) -> None:
    before = begun(victim)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(send, victim, f"lost-{secrets.token_hex(8)}", 60.0)
        eventually(lambda: begun(victim) > before, AGAIN, "the task has begun")
        killed = kill(victim, "router")
        lost = answer.result()
    rest.assert_error(lost, 502, "provider_outcome_unknown", kind="provider_error")
    assert lost.headers["x-should-retry"] == "false"  # the task may be paid for already
    eventually(lambda: is_back(victim, "router", killed), AGAIN, "router is back")
    eventually(lambda: serves(victim), AGAIN, "the stack serves again")


def test_termination_before_it_is_ready_ends_everything() -> None:
    with short_folder() as folder:
        stack = start(folder)
        eventually(lambda: len(stack.descendants()) >= 2, 30, "children run")
        assert stack.stop(signal.SIGTERM) == 0


def test_stop_fails_readiness_and_serves_until_a_second_signal(victim: Stack) -> None:
    eventually(lambda: health(victim) == (200, []), AGAIN, "the stack is ready")
    victim.process.send_signal(signal.SIGTERM)
    eventually(lambda: ask(victim, "GET", "/readyz", key="").status == 503, AGAIN, "callers are sent elsewhere")
    eventually(lambda: health(victim) == (503, ["lame_duck", "envoy: draining"]), AGAIN, "Envoy drains")
    refusal = ask(victim, "GET", "/readyz", key="")
    assert refusal.json() == {"status": "not_ready", "not_ready": ["lame_duck"]}
    answer = ask(victim, "POST", rest.GENERATIONS, dict(SMALL))
    assert answer.status == 200
    assert answer.headers["connection"] == "close"
    assert victim.stop() == 0
