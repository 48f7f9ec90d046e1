"""Many jobs that wait at their provider: their memory and CPU, and the cost of a request beside them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from bench import samples, subjects, usage
from bench.cells import cells, submission
from bench.parts import RAISED
from bench.report import Figure
from bench.subjects import ROOT, SubjectError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.jobs import Scale
    from bench.samples import Sample
    from bench.subjects import Subject

INSIDE: Final = ("router", "providers", "nats")
_FEW: Final = 10
_DELAY: Final = 3600.0
_PATIENCE: Final = 30.0
"""Time limit of all submissions in seconds. The table shows how many were accepted."""
_MB: Final = 1_000_000
_MAX_MB: Final = 300
_MAX_CORE: Final = 5.0


def at_provider(folder: Path, image: Path, scale: Scale) -> Iterator[Figure]:
    """Measure jobs that wait at their provider, and requests beside them: first few jobs, then many."""
    with subjects.chain("held", ROOT, folder, image, more=RAISED) as chain:
        answer = chain.ask(submission(_DELAY))
        _submit(chain, folder, answer, _FEW - 1)
        few_idle = _idle(chain, scale.seconds)
        few = _small(chain, folder, scale.seconds)
        sample = _submit(chain, folder, answer, scale.held - _FEW)
        count = sample.figures.requests + _FEW
        time.sleep(2)
        many_idle = _idle(chain, 2 * scale.seconds)
        memory = usage.resident(chain.pid)
        try:
            many = _small(chain, folder, scale.seconds)
        except SubjectError as error:
            many, why = None, str(error)
    yield Figure(f"{count} of {scale.held} jobs put to a provider that takes an hour", _pace(sample))
    yield _memory(memory)
    yield _load(f"  % of a core while {_FEW} wait", few_idle, aim=False)
    yield _load(f"  % of a core while {count} wait", many_idle, aim=True)
    yield Figure(f"  small request beside {_FEW}", f"{few.rate:.0f} /s, {_cost(few)}")
    if many is None:
        yield Figure(f"  small request beside {count}", why[:100], "an answer: not met")
    else:
        yield Figure(f"  small request beside {count}", f"{many.rate:.0f} /s, {_cost(many)}")
        yield Figure("  ratio", f"{many.cost / few.cost:.2f} x")


def in_line(folder: Path, image: Path, scale: Scale) -> Iterator[Figure]:
    """Measure queued jobs: the route has one slot."""
    with subjects.chain("line", ROOT, folder, image, more={**RAISED, "LOCAL_CONCURRENCY": "1"}) as chain:
        answer = chain.ask(submission(_DELAY))
        first = _submit(chain, folder, answer, scale.held // 10)
        rest = _submit(chain, folder, answer, scale.held - scale.held // 10 - 1)
        count = first.figures.requests + rest.figures.requests + 1
        time.sleep(2)
        idle, memory = _idle(chain, 2 * scale.seconds), usage.resident(chain.pid)
    yield Figure("durable submits through Envoy (respond-async), 32 at a time", _pace(first))
    yield Figure(f"  up to {count} of {scale.held} jobs in line", _pace(rest))
    yield _memory(memory)
    yield _load(f"  % of a core while {count} wait", idle, aim=True)


def _pace(sample: Sample) -> str:
    ranks = f"p50 {sample.figures.p50:.1f}, p99 {sample.figures.p99:.1f} ms"
    return f"{sample.rate:.0f} /s, {ranks}, {_cost(sample)}"


def _memory(memory: dict[str, int]) -> Figure:
    kept = (memory["router"] + memory["nats"]) / _MB
    split = f"router {memory['router'] / _MB:.0f}, nats {memory['nats'] / _MB:.0f}"
    return Figure("  memory of router and nats", f"{kept:.0f} MB ({split})", _verdict(kept, _MAX_MB, "MB"))


def _load(what: str, idle: dict[str, float], *, aim: bool) -> Figure:
    core = 100 * (idle["router"] + idle["nats"])
    shares = ", ".join(f"{role} {100 * idle[role]:.1f}" for role in INSIDE)
    return Figure(what, f"{core:.1f} % ({shares})", _verdict(core, _MAX_CORE, "%") if aim else "")


def _verdict(value: float, most: float, unit: str) -> str:
    return f"<= {most:g} {unit}: {'met' if value <= most else 'not met'}"


def _submit(chain: Subject, folder: Path, answer: bytes, count: int) -> Sample:
    cell = submission(_DELAY)
    order = samples.order_of(chain, cell, answer, "", folder, seconds=_PATIENCE, count=count)
    sample = samples.take(chain, cell, order)
    if sample.figures.failures:
        raise SubjectError(f"{sample.figures.failures} of {count} jobs were refused: {sample.figures.reason}")
    return sample


def _small(chain: Subject, folder: Path, seconds: float) -> Sample:
    cell = cells()[0]
    answer = chain.ask(cell)
    return samples.take(chain, cell, samples.order_of(chain, cell, answer, "", folder, seconds=seconds))


def _idle(chain: Subject, seconds: float) -> dict[str, float]:
    """Return used cores by role, without any request."""
    before, began = usage.Usage.of(chain.pid), time.monotonic()
    time.sleep(seconds)
    used = usage.Usage.of(chain.pid).since(before)
    passed = time.monotonic() - began
    return {role: seconds / passed for role, seconds in used.items()}


def _cost(sample: Sample) -> str:
    shares = ", ".join(f"{role} {sample.per_request(sample.used.get(role, 0.0)):.2f}" for role in ("envoy", *INSIDE))
    return f"{sample.cost:.2f} CPU-ms ({shares})"
