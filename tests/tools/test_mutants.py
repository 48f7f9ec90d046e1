"""The mutation run: its rooms are complete, and its sample holds only changes that tests should observe."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.mutant_sample import SOURCE, Mutant, Room, observable, rooms, sample

_MODULE = """\
@dataclass(frozen=True)
class Point:
    x: int | None

    def moved(self, by: int | None, *, times: int = 1) -> Point | None:
        _log.info("moved", by=by + 1)
        return replace(self, x=self.x + by * times)

if TYPE_CHECKING:
    Other = int | str

Coordinate: TypeAlias = int | float
"""


def mutant(text: str, *, line: int, operator: str) -> Mutant:
    """Return a change of the last occurrence of a text in a line of `_MODULE`."""
    content = _MODULE.splitlines()[line - 1]
    return Mutant("point.py", (line, content.rindex(text)), f"core/{operator}", 0, content)


@pytest.mark.parametrize(
    "change",
    [
        mutant("+", line=7, operator="ReplaceBinaryOperator_Add_Sub"),
        mutant("*", line=7, operator="ReplaceBinaryOperator_Mul_Div"),
        mutant("1", line=5, operator="NumberReplacer"),
        mutant("@", line=1, operator="RemoveDecorator"),
    ],
)
def test_change_of_behaviour_is_tried(change: Mutant) -> None:
    assert observable([change], _MODULE) == [change]


@pytest.mark.parametrize(
    "change",
    [
        mutant("True", line=1, operator="ReplaceTrueWithFalse"),
        mutant("|", line=3, operator="ReplaceBinaryOperator_BitOr_Add"),
        mutant("*,", line=5, operator="ReplaceBinaryOperator_Mul_Add"),
        mutant("|", line=5, operator="ReplaceBinaryOperator_BitOr_Add"),
        mutant("+", line=6, operator="ReplaceBinaryOperator_Add_Sub"),
        mutant("|", line=10, operator="ReplaceBinaryOperator_BitOr_Add"),
        mutant("|", line=12, operator="ReplaceBinaryOperator_BitOr_Add"),
    ],
)
def test_change_that_tests_cannot_observe_is_not_tried(change: Mutant) -> None:
    assert observable([change], _MODULE) == []


def changes(*, first_line: int = 1) -> list[Mutant]:
    """Return changes of ten lines, two kinds of change in two variants each."""
    return [
        Mutant("point.py", (first_line + line, 4), f"core/{kind}_{variant}", 0, f"    if x == {line}:")
        for line in range(10)
        for kind in ("AddNot", "ReplaceComparisonOperator")
        for variant in ("Eq_Lt", "Eq_Gt")
    ]


def test_sample_is_the_same_in_each_run_and_has_one_change_of_a_kind_at_a_place() -> None:
    chosen = sample(changes(), 15, seed=0)
    assert chosen == sample(changes()[::-1], 15, seed=0) != sample(changes(), 15, seed=1)
    assert len({(change.start, change.kind) for change in chosen}) == len(chosen) == 15
    assert len(sample(changes(), 100, seed=0)) == 20


def test_sample_has_the_same_lines_after_a_change_elsewhere_in_the_module() -> None:
    moved = sample(changes(first_line=30), 15, seed=0)
    assert [(change.line, change.operator) for change in moved] == [
        (change.line, change.operator) for change in sample(changes(), 15, seed=0)
    ]


@pytest.mark.parametrize("room", rooms(), ids=lambda room: room.name)
def test_each_module_of_a_room_has_tests(room: Room) -> None:
    modules = {str(path) for path in (SOURCE / room.name).glob("*.py") if path.name != "__init__.py"}
    assert room.tests.keys() == modules
    assert not [test for tests in room.tests.values() for test in tests if not Path(test).is_file()]
    assert all(room.tests.values())
