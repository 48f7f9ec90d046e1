"""Change the code at random places and see which changes no test notices: `python -m tools.mutants COSMIC_RAY`.

cosmic-ray makes the changes, in a copy of the tree. Each run tries the same sample of each module's possible changes,
until the time is over. Prints the score and the changes that survive.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

from imagegateway.platform import setting_source

TESTS_OF: Final = {
    "jobs/circuit_breaker.py": "tests/jobs/test_circuit_breaker.py",
    "jobs/fair_queue.py": "tests/jobs/test_fair_queue.py tests/jobs/test_fair_queue_orders.py",
    "jobs/held_bytes.py": "tests/jobs/test_held_bytes.py",
    "jobs/slot_pool.py": "tests/jobs/test_fair_queue.py tests/jobs/test_fair_queue_orders.py",
    "jobs/states.py": "tests/jobs/test_states.py",
    "outbound/client.py": "tests/outbound",
    "outbound/content_encoding.py": "tests/outbound/test_content_encoding.py",
    "outbound/sse.py": "tests/outbound/test_sse.py",
    "outbound/url_guard.py": "tests/outbound/test_url_guard.py",
    "providers/kit/call_driver.py": "tests/providers/test_driver.py tests/providers/test_faults.py",
    "providers/kit/driver.py": "tests/providers/test_driver.py tests/providers/test_faults.py",
    "providers/kit/task_state.py": "tests/providers/test_driver.py tests/providers/test_faults.py",
}
"""The modules that are changed, and the tests that should notice."""
OF_EACH: Final = 10
"""Changes tried of each module."""
MINUTES: Final = 15.0
"""Time after which no other module is begun."""
_SECONDS: Final = 120.0
"""Longest that the tests of one change may take; a change that hangs them is noticed."""
_ANNOTATIONS: Final = "core/ReplaceBinaryOperator_BitOr%"
"""`A | B` is a type nearly everywhere, and annotations are not evaluated."""
_TREE: Final = Path("build/mutants/tree")


def main(cosmic_ray: str) -> None:
    """Try the changes and print what survives."""
    began = time.monotonic()
    shutil.rmtree(_TREE, ignore_errors=True)
    for name in ("services", "generated", "tests", "docs", "tools"):
        shutil.copytree(name, _TREE / name, symlinks=False)
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(name, _TREE)
    shutil.copytree("envoy", _TREE / "envoy")
    outcomes: Counter[str] = Counter()
    for module, tests in TESTS_OF.items():
        if time.monotonic() - began > MINUTES * 60:
            print(f"{module}: not tried, the time is over")
            continue
        found, survivors = _try(Path(cosmic_ray).absolute(), module, tests)
        outcomes += found
        print(f"{module}: {found['KILLED']} of {found.total()} changes noticed", flush=True)
        for diff in survivors:
            print(diff, flush=True)
    print(f"score: {outcomes['KILLED']} of {outcomes.total()} changes noticed")


def _try(cosmic_ray: Path, module: str, tests: str) -> tuple[Counter[str], list[str]]:
    """Return the outcomes of a module's changes, and the changes that survive."""
    python = Path(sys.prefix).absolute() / "bin" / "python"
    (_TREE / "mutants.toml").write_text(
        f"""[cosmic-ray]
module-path = ["services/imagegateway/{module}"]
timeout = {_SECONDS}
excluded-modules = []
test-command = "{python} -m pytest -x -q -p no:cacheprovider {tests}"
[cosmic-ray.distributor]
name = "local"
"""
    )
    session = _TREE / "session.sqlite"
    session.unlink(missing_ok=True)
    _run(cosmic_ray, "init", "mutants.toml", session.name)
    with sqlite3.connect(session) as database:
        database.execute("DELETE FROM mutation_specs WHERE operator_name LIKE ?", (_ANNOTATIONS,))
        order = "SELECT job_id FROM mutation_specs ORDER BY start_pos_row, start_pos_col, operator_name, occurrence"
        known = [job for (job,) in database.execute(order)]
        tried = random.Random(module).sample(known, min(OF_EACH, len(known)))  # noqa: S311  the same ones each time
        marks = ",".join("?" * len(tried))
        database.execute(f"DELETE FROM mutation_specs WHERE job_id NOT IN ({marks})", tried)  # noqa: S608
        database.execute(f"DELETE FROM work_items WHERE job_id NOT IN ({marks})", tried)  # noqa: S608
    database.close()
    _run(cosmic_ray, "exec", "mutants.toml", session.name)
    with sqlite3.connect(session) as database:
        results = list(database.execute("SELECT test_outcome, diff FROM work_results"))
    database.close()
    return Counter(outcome for outcome, _ in results), [diff for outcome, diff in results if outcome == "SURVIVED"]


def _run(*command: object) -> None:
    paths = ":".join(str((_TREE / name).absolute()) for name in ("services", "generated", "."))
    environment = setting_source.environment() | {"PYTHONPATH": paths}
    subprocess.run([str(part) for part in command], cwd=_TREE, env=environment, check=True)


if __name__ == "__main__":
    main(sys.argv[1])
