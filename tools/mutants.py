"""Mutation run over the rooms in tools/mutants.toml: `python -m tools.mutants COSMIC_RAY SIZE SEED WORKERS`.

SIZE is the number of changes tried in each room, or `all`. The same seed chooses the same changes. Each worker has a
copy of the tree. With a number as SIZE, the run ends after `MINUTES`, and the rooms alternate.
Prints the changes that no test of the module noticed, as diffs, and the score of each room.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from itertools import zip_longest
from operator import add
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from tools.mutant_sample import rooms, sample
from tools.mutant_tree import MutantTree, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.mutant_sample import Mutant
    from tools.mutant_tree import Cost

MINUTES: Final = 18.0
"""Time after which a run with a sample starts no further change."""
_TREES: Final = Path("build/mutants/trees")


def main(cosmic_ray: str, size: str, seed: str, workers: str) -> None:
    """Try the changes, and print those that survived and the scores."""
    until = None if size == "all" else time.monotonic() + MINUTES * 60
    tree = MutantTree.create(_TREES / "0", Path(cosmic_ray))
    chosen = {room.name: tree.mutants(room) for room in rooms()}
    if size != "all":
        chosen = {name: sample(mutants, int(size), int(seed)) for name, mutants in chosen.items()}
    order = [mutant for turn in zip_longest(*chosen.values()) for mutant in turn if mutant]
    modules = {mutant.module for mutant in order}
    tests = {module: files for room in rooms() for module, files in room.tests.items() if module in modules}
    costs = tree.costs(sorted({file for files in tests.values() for file in files}), int(workers))
    trees: SimpleQueue[MutantTree] = SimpleQueue()
    for number in range(int(workers)):
        trees.put(tree.copy(_TREES / str(number + 1)))

    def attempt(mutant: Mutant) -> Outcome | None:
        files = tests[mutant.module]
        return _attempt(trees, mutant, files, reduce(add, (costs[file] for file in files)), until)

    with ThreadPoolExecutor(int(workers)) as pool:
        outcomes = dict(zip(order, pool.map(attempt, order), strict=True))
    for name, mutants in chosen.items():
        print(f"{name}: {_score(Counter(outcomes[mutant] for mutant in mutants))}")
    print(f"score: {_score(Counter(outcomes.values()))}")


def _attempt(
    trees: SimpleQueue[MutantTree], mutant: Mutant, tests: Sequence[str], cost: Cost, until: float | None
) -> Outcome | None:
    """Try a change in a free tree, and print the change if it survived. Return None if the time is over."""
    if until is not None and time.monotonic() > until:
        return None
    tree = trees.get()
    try:
        outcome, diff = tree.outcome(mutant, tests, cost)
    finally:
        trees.put(tree)
    if outcome is not Outcome.NOTICED:
        print(f"{outcome.value}: {mutant.operator}\n{diff}\n", flush=True)
    return outcome


def _score(outcomes: Counter[Outcome | None]) -> str:
    noticed = outcomes[Outcome.NOTICED] + outcomes[Outcome.TIMED_OUT]
    tried = noticed + outcomes[Outcome.SURVIVED]
    left = outcomes[None] + outcomes[Outcome.NOT_MADE]
    return f"{noticed} of {tried} changes noticed, {outcomes[Outcome.TIMED_OUT]} by a time limit; {left} not tried"


if __name__ == "__main__":
    main(*sys.argv[1:])
