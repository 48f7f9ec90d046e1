"""Many jobs that wait at their provider: memory and CPU while they do, and what a request costs beside them."""

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
_PATIENCE: Final = 90.0
_MB: Final = 1_000_000
_MAX_MB: Final = 300
_MAX_CORE: Final = 5.0


def measure(folder: Path, picture: Path, scale: Scale) -> Iterator[Figure]:
    """With few jobs held, then with many."""
    with subjects.chain("held", ROOT, folder, picture, more=RAISED) as chain:
        answer = chain.ask(submission(_DELAY))
        _submit(chain, folder, answer, _FEW - 1)
        few_idle, few = _idle(chain, scale.seconds), _small(chain, folder, scale.seconds)
        sample = _submit(chain, folder, answer, scale.held - _FEW)
        yield Figure("durable submits through Envoy (respond-async), 32 at a time", f"{sample.rate:.0f} /s")
        yield Figure("  each", f"p50 {sample.figures.p50:.1f}, p99 {sample.figures.p99:.1f} ms, {_cost(sample)}")
        time.sleep(3)
        many_idle = _idle(chain, 2 * scale.seconds)
        memory = usage.resident(chain.pid)
        many = _small(chain, folder, scale.seconds)
    kept = memory["router"] + memory["nats"]
    split = f"router {memory['router'] / _MB:.0f}, nats {memory['nats'] / _MB:.0f}"
    yield Figure(
        f"{scale.held} waiting jobs: memory of router and nats",
        f"{kept / _MB:.0f} MB ({split})",
        f"<= {_MAX_MB} MB: {_verdict(kept / _MB <= _MAX_MB)}",
    )
    for count, idle in ((_FEW, few_idle), (scale.held, many_idle)):
        core = 100 * (idle["router"] + idle["nats"])
        shares = ", ".join(f"{role} {100 * share:.1f}" for role, share in idle.items() if share >= 0.001)
        aim = f"<= {_MAX_CORE:g} %: {_verdict(core <= _MAX_CORE)}" if count != _FEW else ""
        yield Figure(f"{count} waiting jobs: % of a core, router and nats", f"{core:.1f} % ({shares})", aim)
    for count, request in ((_FEW, few), (scale.held, many)):
        yield Figure(f"small request with {count} jobs held", f"{request.rate:.0f} /s, {_cost(request)}")
    yield Figure("  ratio", f"{many.cost / few.cost:.2f} x")


def _submit(chain: Subject, folder: Path, answer: bytes, count: int) -> Sample:
    cell = submission(_DELAY)
    order = samples.order_of(chain, cell, answer, "", folder, seconds=_PATIENCE, count=count)
    sample = samples.take(chain, cell, order)
    if sample.figures.failures or sample.figures.requests != count:
        raise SubjectError(f"{sample.figures.requests} of {count} jobs were accepted: {sample.figures.reason}")
    return sample


def _small(chain: Subject, folder: Path, seconds: float) -> Sample:
    cell = cells()[0]
    answer = chain.ask(cell)
    return samples.take(chain, cell, samples.order_of(chain, cell, answer, "", folder, seconds=seconds))


def _idle(chain: Subject, seconds: float) -> dict[str, float]:
    """Cores by role while nobody asks for anything."""
    before, began = usage.Usage.of(chain.pid), time.monotonic()
    time.sleep(seconds)
    used = usage.Usage.of(chain.pid).since(before)
    passed = time.monotonic() - began
    return {role: seconds / passed for role, seconds in used.items()}


def _cost(sample: Sample) -> str:
    shares = ", ".join(f"{role} {sample.per_request(sample.used.get(role, 0.0)):.2f}" for role in ("envoy", *INSIDE))
    return f"{sample.cost:.2f} CPU-ms ({shares})"


def _verdict(met: bool) -> str:
    return "met" if met else "not met"
