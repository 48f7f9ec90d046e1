"""Copy of the tree in which the mutation run changes modules and runs their tests, by cosmic-ray and pytest."""

from __future__ import annotations

import contextlib
import difflib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from imagegateway.platform import setting_source

from tools.mutant_sample import Mutant, Room, observable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_FOLDERS: Final = ("services", "generated", "tests", "docs", "tools", "envoy")
_FILES: Final = ("pyproject.toml", "CHANGELOG.md")
_CONFIGURATION: Final = """[cosmic-ray]
module-path = {modules}
timeout = 0
excluded-modules = []
test-command = ""
[cosmic-ray.distributor]
name = "local"
"""
_PYTEST: Final = (
    *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
    *("--hypothesis-profile=quick", "--hypothesis-seed=0"),
)
_DURATION: Final = re.compile(r"^(\d+\.\d+)s \w+ +([^:]+)::", re.MULTILINE)
"""Time of a step of a test, and the test's file, as pytest lists them."""


class Outcome(Enum):
    """Result of the tests of a change."""

    NOTICED = "noticed"
    TIMED_OUT = "timed out"
    """A test hung, or the tests took much more CPU time than without a change: the change is noticed."""
    SURVIVED = "survived"
    NOT_MADE = "not made"
    """cosmic-ray failed: it finds `except a.B` and cannot change it, for example."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Time of tests without a change, in seconds."""

    total: float
    slowest: float
    """Time of the slowest step of a test."""

    @property
    def cpu_limit(self) -> int:
        """CPU time of a process after which tests with a change are ended."""
        return math.ceil(30 + 5 * self.total)

    @property
    def test_limit(self) -> int:
        """Time after which one test hangs: CPU time does not show a test that waits."""
        return math.ceil(20 + 5 * self.slowest)

    @property
    def limit(self) -> int:
        """Time after which the process hangs outside its tests."""
        return math.ceil(60 + 10 * self.total)

    def __add__(self, other: Cost) -> Cost:
        """Return the cost of two files of tests."""
        return Cost(self.total + other.total, max(self.slowest, other.slowest))


class MutantTree:
    """Copy of the tree, for one change at a time."""

    def __init__(self, folder: Path, cosmic_ray: Path) -> None:
        self._folder = folder
        self._cosmic_ray = cosmic_ray.absolute()
        paths = ":".join(str((folder / name).absolute()) for name in ("services", "generated", "."))
        self._environment = {**setting_source.environment(), "PYTHONPATH": paths}

    @classmethod
    def create(cls, folder: Path, cosmic_ray: Path) -> MutantTree:
        """Copy the working tree to a folder, in place of an older copy."""
        shutil.rmtree(folder, ignore_errors=True)
        for name in _FOLDERS:
            shutil.copytree(name, folder / name)
        for name in _FILES:
            shutil.copy2(name, folder)
        return cls(folder, cosmic_ray)

    def copy(self, folder: Path) -> MutantTree:
        """Copy this tree with its bytecode to a folder, in place of an older copy."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._folder, folder)
        return MutantTree(folder, self._cosmic_ray)

    def mutants(self, room: Room) -> list[Mutant]:
        """Return all changes of a room that its tests should notice."""
        (self._folder / "mutants.toml").write_text(_CONFIGURATION.format(modules=json.dumps(list(room.tests))))
        self._mutate("init", "mutants.toml", "session.sqlite", "--force")
        sources = {module: (self._folder / module).read_text() for module in room.tests}
        found: dict[str, list[Mutant]] = {module: [] for module in room.tests}
        for mutant in self._dumped({module: source.splitlines() for module, source in sources.items()}):
            found[mutant.module].append(mutant)
        return [mutant for module, known in found.items() for mutant in observable(known, sources[module])]

    def costs(self, files: Iterable[str], workers: int) -> dict[str, Cost]:
        """Run files of tests without a change. Raises CalledProcessError unless they pass."""
        parallel = [f"--numprocesses={workers}", "--dist=loadfile", "--durations=0", "--durations-min=0"]
        output = self._run(*_PYTEST, *parallel, *files)
        costs = dict.fromkeys(files, Cost(0, 0))
        for duration, file in _DURATION.findall(output):
            costs[file] += Cost(float(duration), float(duration))
        return costs

    def outcome(self, mutant: Mutant, tests: Sequence[str], cost: Cost) -> tuple[Outcome, str]:
        """Run tests with a change. Return their outcome, and the change as a diff."""
        module = self._folder / mutant.module
        original = module.with_suffix(".original")
        shutil.copy2(module, original)
        try:
            change = (mutant.module, mutant.operator, str(mutant.occurrence))
            if self._finished(str(self._cosmic_ray), "apply", *change).returncode:
                return Outcome.NOT_MADE, ""
            return self._outcome(tests, cost), _diff(mutant.module, original.read_text(), module.read_text())
        finally:
            original.replace(module)  # with its old time: the bytecode stays valid

    def _dumped(self, lines: Mapping[str, Sequence[str]]) -> Iterator[Mutant]:
        for line in self._mutate("dump", "session.sqlite").splitlines():
            (change,) = json.loads(line)[0]["mutations"]
            module, (row, column) = change["module_path"], change["start_pos"]
            text = lines[module][row - 1]
            yield Mutant(module, (row, column), change["operator_name"], change["occurrence"], text)

    def _mutate(self, *arguments: str) -> str:
        return self._run(str(self._cosmic_ray), *arguments)

    def _run(self, *command: str) -> str:
        """Return the output of a command in the tree. Raises CalledProcessError."""
        done = self._finished(*command)
        if done.returncode:
            print(done.stdout)
        done.check_returncode()
        return done.stdout

    def _outcome(self, tests: Sequence[str], cost: Cost) -> Outcome:
        """Run tests within the limits that follow from their cost without a change."""
        limits = ["timeout", "--signal=KILL", str(cost.limit), "prlimit", f"--cpu={cost.cpu_limit}"]
        hang = ["-o", f"faulthandler_timeout={cost.test_limit}", "-o", "faulthandler_exit_on_timeout=true"]
        done = self._finished(*limits, *_PYTEST, "--exitfirst", *hang, *tests)
        if done.returncode == 0:
            return Outcome.SURVIVED
        killed = done.returncode > 128 or done.returncode < 0
        return Outcome.TIMED_OUT if killed or "\nTimeout (" in done.stdout else Outcome.NOTICED

    def _finished(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the tree. End the processes that it leaves."""
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            status = process.wait()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            output.seek(0)
            return subprocess.CompletedProcess(command, status, output.read())


def _diff(module: str, original: str, changed: str) -> str:
    lines = difflib.unified_diff(
        original.splitlines(), changed.splitlines(), f"a/{module}", f"b/{module}", lineterm=""
    )
    return "\n".join(lines)
