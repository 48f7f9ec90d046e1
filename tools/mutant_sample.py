"""Changes of the mutation run: the rooms that are changed, and a sample of the changes that tests should notice."""

from __future__ import annotations

import ast
import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Position: TypeAlias = tuple[int, int]
"""Line from 1, and column from 0."""
Span: TypeAlias = tuple[Position, Position]

ROOMS: Final = Path(__file__).with_name("mutants.toml")
SOURCE: Final = Path("services/imagegateway")
_BINARY_OPERATOR: Final = "core/ReplaceBinaryOperator"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: an occurrence of one of cosmic-ray's operators."""

    module: str
    """Path in the tree."""
    start: Position
    operator: str
    occurrence: int
    line: str
    """Text of the first changed line."""

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

    Left out are changes of types, of imports for type checkers, of options of dataclasses and of log calls, and
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
            case ast.AnnAssign(annotation=ast.Name("TypeAlias")):
                yield node
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


def sample(mutants: Iterable[Mutant], size: int, seed: int) -> list[Mutant]:
    """Return changes at `size` random places, one of each kind at a place.

    The same seed chooses the same lines again, whatever changed elsewhere in the tree.
    """

    def rank(mutant: Mutant) -> tuple[bytes, bytes]:
        place = (seed, mutant.module, mutant.line.strip(), mutant.start[1], mutant.kind)
        return _digest(place), _digest((*place, mutant.operator))

    places: dict[tuple[str, Position, str], Mutant] = {}
    for mutant in sorted(mutants, key=rank):
        places.setdefault((mutant.module, mutant.start, mutant.kind), mutant)
    return list(places.values())[:size]


def _digest(key: tuple[object, ...]) -> bytes:
    return hashlib.sha256(repr(key).encode()).digest()
