"""Latency of one tenant's quick call beside another tenant's slow calls, and on an idle stack."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from imagegateway.platform import setting_source

from bench import noise_images, samples, subjects
from bench.aims import at_most
from bench.cells import SMALL_BYTES, cells, submission, upstream_cells
from bench.processes import ROOT, SubjectError, environment
from bench.report import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.cells import Cell
    from bench.samples import Sample
    from bench.scale import Scale
    from bench.subjects import Subject

_MAX_MS: Final = 1000.0
_DELAY: Final = 3600.0


def quick_calls(folder: Path, image: Path, scale: Scale) -> Iterator[Figure]:
    """Measure sequential quick calls: alone, and beside slow calls whose callers wait."""
    images = {"large": noise_images.noise(SMALL_BYTES), "small": noise_images.noise(SMALL_BYTES)}
    (folder / "provider").mkdir()
    with (
        subjects.provider(folder / "provider", images) as (stub, upstream),
        subjects.chain(
            "beside",
            ROOT,
            folder,
            image,
            more=subjects.upstream_settings(upstream),
            beside=(stub,),
        ) as chain,
    ):
        other = replace(chain, key=_key(chain, "other"))
        for name, quick, slow_call in _pairs():
            answer = other.ask(quick)
            alone = _measure(other, quick, answer, folder, scale.seconds)
            with in_flight(chain, slow_call, scale):
                beside = _measure(other, quick, answer, folder, scale.seconds)
            yield Figure(f"{name}: a quick call of another tenant, one after the other", _ranks(alone))
            yield _beside(name, scale.slow, beside, alone)


def _pairs() -> Iterator[tuple[str, Cell, Cell]]:
    """Yield pairs of a quick and a slow call, for a provider and for the embedded model."""
    quick = replace(upstream_cells()[0], connections=1)
    yield "provider", quick, slow(quick)
    yield "embedded model", replace(cells()[0], connections=1), replace(submission(_DELAY), headers="")


def slow(cell: Cell) -> Cell:
    """Return a request that the stub of the provider never answers."""
    return replace(cell, body=cell.body.replace(b"a small ", b"a slow "))


def _key(chain: Subject, tenant: str) -> str:
    """Create a key of another tenant."""
    command = [sys.executable, "-c", "import sys; from imagegateway.cli import main; sys.exit(main())"]
    made = subprocess.run(
        [*command, "keys", "create", "--tenant", tenant],
        cwd=ROOT,
        env={**environment(), f"{setting_source.PREFIX}DATA_DIR": str(chain.run.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.split()[-1]


@contextmanager
def in_flight(chain: Subject, cell: Cell, scale: Scale) -> Iterator[None]:
    """Keep slow calls open while the context lasts."""
    request = chain.request(cell)
    calls: list[socket.socket] = []
    try:
        for _ in range(scale.slow):
            calls.append(socket.create_connection(("127.0.0.1", chain.port)))
            calls[-1].sendall(request)
        time.sleep(scale.settle)
        yield
    finally:
        for call in calls:
            call.close()


def _measure(chain: Subject, cell: Cell, answer: bytes, folder: Path, seconds: float) -> Sample:
    sample = samples.take(chain, cell, samples.order_of(chain, cell, answer, "", folder, seconds=seconds))
    if sample.figures.failures:
        raise SubjectError(f"a quick call failed: {sample.figures.reason}")
    return sample


def _ranks(sample: Sample) -> str:
    return f"p50 {sample.figures.p50:.1f}, p99 {sample.figures.p99:.1f} ms"


def _beside(name: str, slow_calls: int, found: Sample, alone: Sample) -> Figure:
    title = f"  beside {slow_calls} slow ones"
    verdict = at_most(f"p99 of a quick call beside {slow_calls} slow ones, {name}", found.figures.p99, _MAX_MS, "ms")
    p50, p99 = found.figures.p50 / alone.figures.p50, found.figures.p99 / alone.figures.p99
    return Figure(title, f"{_ranks(found)}; {p50:.2f} x, {p99:.2f} x", verdict)
