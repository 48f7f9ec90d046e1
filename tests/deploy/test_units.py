"""The systemd units: `systemd-analyze`, and agreement with the gateway's own names."""

from __future__ import annotations

import re
import shlex
import shutil
from typing import TYPE_CHECKING, Final

import pytest

from tests.deploy import names
from tests.deploy.chart import DEPLOY
from tests.support import programs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_UNITS: Final = sorted((DEPLOY / "systemd").glob("*.service"))
_WORST_EXPOSURE: Final = 2.0
"""Largest permitted exposure by `systemd-analyze security`, of 10."""
_EXPOSURE: Final = re.compile(r"Overall exposure level for \S+: ([\d.]+)")
every_unit = pytest.mark.parametrize("unit", _UNITS, ids=lambda path: path.name)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root file system that has the units, the distribution's own, and stand-ins for their programs."""
    root = tmp_path_factory.mktemp("root")
    shutil.copytree("/lib/systemd/system", root / "lib/systemd/system", symlinks=True)
    units = root / "etc/systemd/system"
    units.mkdir(parents=True)
    for unit in _UNITS:
        shutil.copy(unit, units)
    for program in ("opt/imagegateway/bin/imagegateway", "opt/imagegateway/bin/envoy", "bin/sh"):
        path = root / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o755)
    return root


@every_unit
def test_units_are_valid(unit: Path, root: Path) -> None:
    printed = programs.run(["systemd-analyze", "verify", f"--root={root}", "--man=no", _instance(unit)], root)
    assert [line for line in printed.splitlines() if "imagegateway" in line] == []


@every_unit
def test_units_expose_little(unit: Path, root: Path) -> None:
    printed = programs.run(["systemd-analyze", "security", "--offline=true", f"--root={root}", _instance(unit)], root)
    exposure = _EXPOSURE.search(printed)
    assert exposure, printed
    assert float(exposure[1]) <= _WORST_EXPOSURE


@every_unit
def test_commands_exist(unit: Path) -> None:
    commands = list(_values(unit, "ExecStartPre", "ExecStart", "ExecStop"))
    assert commands
    for command in commands:
        words = shlex.split(command.replace("%i", "router"))
        names.check_command(words[-1].split() if words[0] == "/bin/sh" else words)


@every_unit
def test_environment_names_settings_only(unit: Path) -> None:
    variables = [pair.partition("=")[0] for value in _values(unit, "Environment") for pair in value.split()]
    assert variables
    assert names.unknown_settings(variables) == []


def _instance(unit: Path) -> str:
    """Return the name of a unit; of a template, that of its instance for routers."""
    return unit.name.replace("@.", "@router.")


def _values(unit: Path, *options: str) -> Iterator[str]:
    for line in unit.read_text().splitlines():
        name, _, value = line.partition("=")
        if name in options:
            yield value
