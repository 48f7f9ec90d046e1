"""The command line as a whole: names of the commands, help, wrong use, and the modules that a command imports."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version

import pytest
from imagegateway.cli import COMMANDS, program

from tests.support import command

CREATE = "imagegateway keys create"
WITHOUT_ANSWER = {"up", "run", "render", "mcp", "completion"}
"""Commands that serve, or print text for another program."""


def actions() -> list[str]:
    """Return every command, and every action of a group of commands."""
    app = program()
    return [
        f"{name} {action}".strip()
        for name in COMMANDS
        for action in ("", *(action for action in app[name] if not action.startswith("-")))
    ]


def test_help_lists_every_command() -> None:
    listed = command.run("--help")
    assert listed.returncode == 0
    for name in COMMANDS:
        assert re.search(rf"│ {name} +[A-Z]", listed.stdout)


def test_command_has_its_own_help_and_prints_json() -> None:
    names = actions()
    groups = {name.split()[0] for name in names if " " in name}
    for name in names:
        done = command.run(*name.split(), "--help")
        assert (done.returncode, done.stderr) == (0, ""), name
        assert done.stdout.startswith(f"Usage: imagegateway {name}")
        assert "--json" in done.stdout or name in groups or name.split()[0] in WITHOUT_ANSWER, name


def test_call_without_a_command_prints_the_help() -> None:
    assert command.run().stdout == command.run("--help").stdout


def test_version_is_that_of_the_package() -> None:
    assert command.run("--version").stdout == f"{version('imagegateway')}\n"


@pytest.mark.parametrize(
    ("arguments", "message", "helpful"),
    [
        (("usag",), "unknown command usag: did you mean usage?", "imagegateway"),
        (("--paint\x1b",), r"unknown command --paint\x1b", "imagegateway"),
        (("keys", "mak"), 'Unknown command "mak".', "imagegateway keys"),
        (("keys", "create"), "parameter --tenant requires an argument.", CREATE),
        (
            ("keys", "create", "--tenant", "a", "--rpm", "x"),
            "for --rpm: 'x' is no whole number",
            "imagegateway keys create",
        ),
        (
            ("keys", "create", "--tenant", "a", "--scopes", "all"),
            "there is no scope 'all'",
            "imagegateway keys create",
        ),
        (("keys", "update", "1"), "name at least one option to change", "imagegateway keys update"),
        (("usage", "--start", "today"), "'today' is no day such as 2026-11-01", "imagegateway usage"),
        (("usage", "--json", "--csv"), "Mutually exclusive arguments", "imagegateway usage"),
        (("audit", "list", "--limit", "0"), "Must be >= 1", "imagegateway audit list"),
        (("up", "--first"), "Unknown option: --first.", "imagegateway up"),
    ],
)
def test_wrong_use_is_refused_with_the_help_that_explains_it(
    arguments: tuple[str, ...], message: str, helpful: str
) -> None:
    done = command.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first.startswith("imagegateway: ")
    assert message in first
    assert second == f"Try `{helpful} --help`."


@pytest.mark.processes
def test_command_imports_no_module_of_another_and_no_styling() -> None:
    script = (
        "import sys; from imagegateway.cli import main\n"
        "main(['up'])\n"
        "print(*(name for name in sys.modules if name.startswith('imagegateway.cli.') or name == 'rich'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=command.environment(port="many"),
    )
    assert set(done.stdout.split()) == {f"imagegateway.cli.{name}" for name in ("errors", "local", "source", "up")}
    assert done.stderr.startswith("imagegateway: IMAGEGATEWAY_PORT must be a number")
