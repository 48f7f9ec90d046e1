"""Commands `login`, `logout` and `status` with the running stack."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from imagegateway.keys.policy import Scope

from tests.gateway.jobs.stacks import new_caller
from tests.support import command
from tests.support.pseudo_terminal import session
from tests.support.stack import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack


@pytest.fixture
def config_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the user's configuration, for commands in this process."""
    monkeypatch.setattr(command, "CONFIG_HOME", str(tmp_path))
    return tmp_path


def test_login_asks_for_a_key_without_echo_and_later_commands_use_it(stack: Stack, config_home: Path) -> None:
    key = stack.command("keys", "create", "--tenant", "painters", "--rpm", "60").stdout.strip()
    with session(["login"]) as terminal:
        terminal.expect("Address of the gateway: ")
        terminal.type(f"{stack.url}/v1\n")
        terminal.expect("API key: ")
        terminal.type(f"{key}\n")
        assert terminal.wait() == 0
    assert f"logged in to {stack.url}; the key is in {config_home}" in terminal.output.replace("\r\n", "")
    assert key not in terminal.output
    shown = command.run("status")
    assert shown.returncode == 0
    assert "limit of requests    60 of 60 left" in shown.stdout
    assert command.run("logout").returncode == 0
    assert command.run("logout").stdout == "there is no login\n"


@pytest.mark.parametrize(
    ("key", "message"),
    [("unknown-key", "unknown or revoked"), ("", "printable ASCII"), ("a\tb", "printable ASCII")],
)
def test_login_with_a_wrong_key_keeps_nothing(stack: Stack, config_home: Path, key: str, message: str) -> None:
    ended = command.run("login", stack.url, standard_input=key)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert message in ended.stderr
    assert not list(config_home.iterdir())


def test_key_that_may_not_read_models_can_log_in(stack: Stack, config_home: Path) -> None:
    caller = new_caller(stack, "painters", scopes=frozenset({Scope.ADMIN}))
    ended = command.run("login", stack.url, standard_input=f"{caller.key}\n", url=stack.url)
    assert ended.returncode == 0
    assert ended.stderr == "imagegateway: the login is overridden by IMAGEGATEWAY_URL\n"


def test_status_shows_the_processes_of_this_machine(stack: Stack) -> None:
    found = json.loads(stack.command("status", "--json").stdout)
    assert (found["url"], found["ready"], found["key"]) == (stack.url, True, "accepted")
    running = {process["name"]: process for process in found["processes"]}
    assert running.keys() == {"nats", "providers", "media", "envoy", "router-0", "router-1"}
    for process in running.values():
        assert process["state"] == "running"
        assert process["pid"] > 0
        assert process["memory_mib"] > 1
    assert "router-1" in stack.command("status").stdout


def test_status_from_afar_has_no_processes_and_reports_a_refused_key(stack: Stack) -> None:
    ended = command.run("status", "--json", "--url", stack.url, "--key", "unknown-key")
    found = json.loads(ended.stdout)
    assert (ended.returncode, found["ready"], found["processes"]) == (1, True, [])
    assert "unknown or revoked" in found["key"]


def test_status_without_a_gateway_is_one_sentence(tmp_path: Path) -> None:
    for values, words in (
        ({"data_dir": str(tmp_path)}, "no gateway runs in"),
        ({"url": f"http://127.0.0.1:{free_port()}", "key": "k"}, "can't be reached"),
    ):
        ended = command.run("status", **values)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert words in ended.stderr
        assert len(ended.stderr.splitlines()) == 1
