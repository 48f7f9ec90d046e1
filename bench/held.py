"""Many jobs that wait at their provider: their memory and CPU, and the cost of a request beside them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from bench import samples, subjects, usage
from bench.aims import Verdict, at_most
from bench.cells import cells, submission
from bench.parts import PLENTY, RAISED
from bench.processes import ROOT, SubjectError
from bench.report import Figure
from bench.tables import MB, ratio

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.samples import Sample
    from bench.scale import Scale
    from bench.subjects import Subject
    from bench.usage import Memory

INSIDE: Final = ("router", "providers", "nats")
_FEW: Final = 10
_DELAY: Final = 3600.0
_FREE: Final = 100
"""Slots that are left for the requests beside the held jobs: no setting allows more than 100,000 slots."""
_PATIENCE: Final = 100.0
"""Time limit of the submissions in seconds, for 10,000 jobs. The table shows how many were accepted."""
_FLAT: Final = 1.2
"""Most that a request may cost beside many held jobs, as a ratio to the cost beside few: the noise of a run."""
_BOUNDED: Final = 10_000
"""Most held jobs for which memory and idle CPU have a bound."""
_MAX_MB: Final = 300
_MAX_CORE: Final = 5.0


def at_provider(folder: Path, image: Path, scale: Scale) -> Iterator[Figure]:
    """Measure jobs that wait at their provider, and requests beside them: alternately beside many and beside few."""
    (beside := folder / "few").mkdir()
    with (
        subjects.chain("held", ROOT, folder, image, more=RAISED) as chain,
        subjects.chain("few", ROOT, beside, image, more=RAISED) as other,
    ):
        answer = chain.ask(submission(_DELAY))
        _submit(other, folder, answer, _FEW)
        few_idle = _idle(other, scale.seconds)
        sample = _submit(chain, folder, answer, min(scale.held, int(PLENTY) - _FREE) - 1)
        count = sample.figures.requests + 1
        time.sleep(scale.settle)
        many_idle = _idle(chain, 2 * scale.seconds)
        memory = usage.memory(chain.pid)
        small: dict[str, list[Sample]] = {chain.name: [], other.name: []}
        reason = ""
        try:
            for number in range(scale.rounds):
                for subject in (chain, other) if number % 2 else (other, chain):
                    small[subject.name].append(_small(subject, folder, scale.seconds))
        except SubjectError as error:
            reason = str(error)
    yield Figure(f"{count} of {scale.held} jobs at a provider that needs an hour", _pace(sample))
    yield _memory(count, memory)
    yield _load(f"  % of a core while {_FEW} wait", few_idle, aim=False)
    yield _load(f"  % of a core while {count} wait", many_idle, aim=count <= _BOUNDED)
    if reason:
        verdict = Verdict(f"a small request beside {count} held jobs", reason[:100], "a response", met=False)
        yield Figure(f"  small request beside {count}", verdict.measured, verdict)
        return
    few, many = (
        sorted(small[subject.name], key=lambda one: one.cost)[scale.rounds // 2] for subject in (other, chain)
    )
    yield Figure(f"  small request beside {_FEW}", f"{few.rate:.0f} /s, {_cost(few)}")
    yield Figure(f"  small request beside {count}", f"{many.rate:.0f} /s, {_cost(many)}")
    verdict = at_most(f"cost of a request beside {count} held jobs to {_FEW}", ratio(many.cost, few.cost), _FLAT, "x")
    yield Figure("  ratio", verdict.measured, verdict)


def queued(folder: Path, image: Path, scale: Scale) -> Iterator[Figure]:
    """Measure queued jobs: the route has one slot."""
    with subjects.chain("line", ROOT, folder, image, more={**RAISED, "LOCAL_CONCURRENCY": "1"}) as chain:
        answer = chain.ask(submission(_DELAY))
        first = _submit(chain, folder, answer, scale.held // 10)
        rest = _submit(chain, folder, answer, scale.held - scale.held // 10 - 1)
        count = first.figures.requests + rest.figures.requests + 1
        time.sleep(scale.settle)
        idle, memory = _idle(chain, 2 * scale.seconds), usage.memory(chain.pid)
    yield Figure("durable submits through Envoy (respond-async), 32 at a time", _pace(first))
    yield Figure(f"  up to {count} of {scale.held} jobs queued", _pace(rest))
    yield _memory(count, memory)
    yield _load(f"  % of a core while {count} wait", idle, aim=count <= _BOUNDED)


def _pace(sample: Sample) -> str:
    ranks = f"p50 {sample.figures.p50:.1f}, p99 {sample.figures.p99:.1f} ms"
    return f"{sample.rate:.0f} /s, {ranks}, {_cost(sample)}"


def _memory(count: int, memory: dict[str, Memory]) -> Figure:
    router, nats = memory["router"].rss / MB, memory["nats"].rss / MB
    verdict = at_most(f"memory of router and nats with {count} jobs, RSS", router + nats, _MAX_MB, "MB")
    split = f"router {router:.0f}, nats {nats:.0f}"
    return Figure(
        "  memory of router and nats", f"{verdict.measured} ({split})", verdict if count <= _BOUNDED else None
    )


def _load(title: str, idle: dict[str, float], *, aim: bool) -> Figure:
    core = 100 * (idle["router"] + idle["nats"])
    shares = ", ".join(f"{role} {100 * idle[role]:.1f}" for role in INSIDE)
    verdict = at_most(title.strip(), core, _MAX_CORE, "%") if aim else None
    return Figure(title, f"{core:.1f} % ({shares})", verdict)


def _submit(chain: Subject, folder: Path, answer: bytes, count: int) -> Sample:
    cell = submission(_DELAY)
    patience = max(_PATIENCE, _PATIENCE * count / 10_000)
    order = samples.order_of(chain, cell, answer, "", folder, seconds=patience, count=count)
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
