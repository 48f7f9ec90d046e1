"""Mutation run over three rooms: `python -m tools.mutants COSMIC_RAY SAMPLE`, with a number for each room or `all`.

cosmic-ray makes the changes, in a copy of the tree. With a number, each run tries the same sample of each room's
changes, and ends after `MINUTES`. Prints the score of each room, and the changes that no test of the module noticed.
"""

from __future__ import annotations

import ast
import json
import random
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from imagegateway.platform import setting_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Position: TypeAlias = tuple[int, int]
"""Line from 1, and column from 0."""
Span: TypeAlias = tuple[Position, Position]

ROOMS: Final = Path(__file__).with_suffix(".toml")
SOURCE: Final = Path("services/imagegateway")
MINUTES: Final = 20.0
"""Time limit of a run with a sample. Each room gets its share of the time that is left."""
_SECONDS: Final = 90
"""Time limit of the tests of one change. A change that makes them hang is noticed."""
_BINARY_OPERATOR: Final = "core/ReplaceBinaryOperator"
_TREE: Final = Path("build/mutants/tree")
_CONFIGURATION: Final = """[cosmic-ray]
module-path = {modules}
timeout = 0
excluded-modules = []
test-command = ""
[cosmic-ray.distributor]
name = "local"
"""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: an occurrence of one of cosmic-ray's operators."""

    module: str
    """Path in the tree."""
    start: Position
    operator: str
    occurrence: int

    @property
    def kind(self) -> str:
        """Operator without its variant: `core/ReplaceBinaryOperator` of `core/ReplaceBinaryOperator_Add_Sub`."""
        return self.operator.partition("_")[0]


@dataclass(frozen=True, slots=True)
class Room:
    """Room of the package, with the test files of each of its modules."""

    name: str
    tests: Mapping[str, tuple[str, ...]]
    """Paths of test files by the module's path; both are paths in the tree."""


def rooms() -> list[Room]:
    """Return the rooms in `ROOMS`."""
    return [
        Room(
            name,
            {
                str(SOURCE / name / f"{module}.py"): tuple(f"tests/{test}.py" for test in tests.split())
                for module, tests in modules.items()
            },
        )
        for name, modules in tomllib.loads(ROOMS.read_text()).items()
    ]


def observable(mutants: Iterable[Mutant], source: str) -> list[Mutant]:
    """Return those changes of a module that tests should observe.

    Left out are changes of annotations, of imports for type checkers, of options of dataclasses and of log calls, and
    those that cosmic-ray makes of `*` and `**` where they are no operators: such a module does not compile.
    """
    module = ast.parse(source)
    hidden = [_span(node) for node in _unobservable(module)]
    operators = list(_binary_operators(module))
    return [
        mutant
        for mutant in mutants
        if not _contains(hidden, mutant.start)
        and (mutant.kind != _BINARY_OPERATOR or _contains(operators, mutant.start))
    ]


def _unobservable(module: ast.Module) -> Iterator[ast.expr | ast.stmt | ast.keyword]:
    for node in ast.walk(module):
        match node:
            case ast.AnnAssign(annotation=annotation) | ast.arg(annotation=ast.expr() as annotation):
                yield annotation
            case ast.FunctionDef(returns=ast.expr() as result) | ast.AsyncFunctionDef(returns=ast.expr() as result):
                yield result
            case ast.If(test=ast.Name("TYPE_CHECKING")) | ast.Expr(ast.Call(ast.Attribute(ast.Name("_log")))):
                yield node
            case ast.Call(func=ast.Name("dataclass"), keywords=options):
                yield from options


def _binary_operators(module: ast.Module) -> Iterator[Span]:
    """Yield the spans between the operands of binary operators."""
    for node in ast.walk(module):
        match node:
            case ast.BinOp(left, _, right) | ast.AugAssign(left, _, right):
                yield _span(left)[1], _span(right)[0]


def _span(node: ast.expr | ast.stmt | ast.keyword) -> Span:
    return (node.lineno, node.col_offset), (node.end_lineno or node.lineno, node.end_col_offset or 0)


def _contains(spans: Sequence[Span], position: Position) -> bool:
    return any(first <= position < last for first, last in spans)


def sample(mutants: Sequence[Mutant], size: int, seed: str) -> list[Mutant]:
    """Return changes at `size` random places, one of each kind at a place; the same ones for the same seed."""
    chooser = random.Random(seed)  # noqa: S311  the same ones each time
    places: dict[tuple[str, Position, str], list[Mutant]] = {}
    for mutant in sorted(mutants, key=attrgetter("module", "start", "operator", "occurrence")):
        places.setdefault((mutant.module, mutant.start, mutant.kind), []).append(mutant)
    chosen = sorted(chooser.sample(list(places), min(size, len(places))))
    return [chooser.choice(places[place]) for place in chosen]


class MutationRun:
    """Mutation run in a new copy of the tree."""

    def __init__(self, cosmic_ray: Path) -> None:
        self._cosmic_ray = cosmic_ray.absolute()
        self._python = Path(sys.prefix).absolute() / "bin" / "python"
        shutil.rmtree(_TREE, ignore_errors=True)
        for name in ("services", "generated", "tests", "docs", "tools", "envoy"):
            shutil.copytree(name, _TREE / name)
        for name in ("pyproject.toml", "CHANGELOG.md"):
            shutil.copy2(name, _TREE)

    def mutants(self, room: Room) -> list[Mutant]:
        """Return all changes of a room that its tests should notice."""
        (_TREE / "mutants.toml").write_text(_CONFIGURATION.format(modules=json.dumps(list(room.tests))))
        self._run(self._cosmic_ray, "init", "mutants.toml", "session.sqlite", "--force")
        found: dict[str, list[Mutant]] = {module: [] for module in room.tests}
        for line in self._run(self._cosmic_ray, "dump", "session.sqlite").splitlines():
            (change,) = json.loads(line)[0]["mutations"]
            row, column = change["start_pos"]
            mutant = Mutant(change["module_path"], (row, column), change["operator_name"], change["occurrence"])
            found[mutant.module].append(mutant)
        sources = {module: (_TREE / module).read_text() for module in found}
        return [mutant for module, known in found.items() for mutant in observable(known, sources[module])]

    def check(self, tests: Sequence[str]) -> None:
        """Run tests without a change. Raises CalledProcessError unless they pass."""
        self._run(*self._pytest(tests))

    def survivor(self, mutant: Mutant, tests: Sequence[str]) -> str | None:
        """Run tests with a change. Return the change as a diff unless a test noticed it."""
        command = shlex.join(["timeout", "--signal=KILL", str(_SECONDS), *self._pytest(tests)])
        change = (mutant.module, mutant.operator, str(mutant.occurrence))
        result = json.loads(self._run(self._cosmic_ray, "mutate-and-test", *change, command))
        return str(result["diff"]) if result["test_outcome"] == "survived" else None

    def _pytest(self, tests: Sequence[str]) -> list[str]:
        return [str(self._python), "-m", "pytest", "--exitfirst", "-p", "no:cacheprovider", *tests]

    def _run(self, *command: str | Path) -> str:
        """Return the output of a command in the tree. Raises CalledProcessError."""
        paths = ":".join(str((_TREE / name).absolute()) for name in ("services", "generated", "."))
        environment = setting_source.environment() | {"PYTHONPATH": paths}
        done = subprocess.run(command, cwd=_TREE, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            print(done.stdout)
        done.check_returncode()
        return done.stdout


def main(cosmic_ray: str, size: str) -> None:
    """Try the changes, and print those that survived and the scores."""
    until = None if size == "all" else time.monotonic() + MINUTES * 60
    run = MutationRun(Path(cosmic_ray))
    tasks = [(room, run.mutants(room)) for room in rooms()]
    if until:
        tasks = [(room, sample(mutants, int(size), room.name)) for room, mutants in tasks]
    run.check(sorted({test for room, chosen in tasks for mutant in chosen for test in room.tests[mutant.module]}))
    noticed = tried = 0
    for left, (room, chosen) in zip(range(len(tasks), 0, -1), tasks, strict=True):
        found, count = _try(run, room, chosen, until and (until - time.monotonic()) / left)
        print(f"{room.name}: {found} of {count} changes noticed, {len(chosen) - count} not tried", flush=True)
        noticed, tried = noticed + found, tried + count
    print(f"score: {noticed} of {tried} changes noticed")


def _try(run: MutationRun, room: Room, chosen: Sequence[Mutant], seconds: float | None) -> tuple[int, int]:
    """Try changes for a time, and print those that survived. Return the number of noticed and of tried ones."""
    began, noticed = time.monotonic(), 0
    for tried, mutant in enumerate(chosen):
        start = time.monotonic()
        if seconds is not None and start - began > seconds:
            return noticed, tried
        diff = run.survivor(mutant, room.tests[mutant.module])
        noticed += diff is None
        if diff:
            print(diff, flush=True)
        elif time.monotonic() - start > _SECONDS:
            print(f"{mutant.module}:{mutant.start[0]} {mutant.operator}: the tests hung or were slow", flush=True)
    return noticed, len(chosen)


if __name__ == "__main__":
    main(*sys.argv[1:])
