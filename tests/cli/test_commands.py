"""The command line as a whole: names of the commands, help, and the modules that a command imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import command

COMMANDS = ("up", "validate", "doctor", "keys", "tenants", "usage", "audit", "provider-keys", "secrets")


def test_help_lists_every_command() -> None:
    listed = command.run("--help")
    assert listed.returncode == 0
    for name in COMMANDS:
        assert f"\n    {name}" in listed.stdout


@pytest.mark.parametrize("arguments", [(), ("paint",), ("--paint",)])
def test_call_without_a_known_command_is_refused_with_the_usage(arguments: tuple[str, ...]) -> None:
    done = command.run(*arguments)
    assert done.returncode == 2
    assert "usage: imagegateway [-h] COMMAND ..." in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_its_own_help(name: str) -> None:
    done = command.run(name, "--help")
    assert done.returncode == 0
    assert f"usage: imagegateway {name}" in done.stdout


def test_command_imports_no_module_of_another() -> None:
    script = (
        "import sys; from imagegateway.cli import main\n"
        "try: main(['up', '--help'])\n"
        "finally: print(*(name for name in sys.modules if name.startswith('imagegateway.cli.')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.split() == ["imagegateway.cli.up"]
