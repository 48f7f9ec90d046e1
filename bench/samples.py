"""Measurement of one cell of one subject."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bench import processes, usage
from bench.load import Figures, Order
from bench.processes import SubjectError

if TYPE_CHECKING:
    from pathlib import Path

    from bench.cells import Cell
    from bench.subjects import Subject


@dataclass(frozen=True, slots=True)
class Sample:
    """Result of one window."""

    cell: str
    subject: str
    figures: Figures
    used: dict[str, float]
    """CPU seconds of the subject by role."""
    peak: int
    """Peak memory in bytes."""
    others: float
    """Cores used by other processes than subject, load generator and upstream."""

    @property
    def rate(self) -> float:
        """Return requests per second."""
        return self.figures.requests / self.figures.seconds

    @property
    def cost(self) -> float:
        """Return CPU milliseconds per request, over all processes of the subject."""
        return self.per_request(sum(self.used.values()))

    def per_request(self, seconds: float) -> float:
        """Return milliseconds per request, from seconds of the window."""
        return 1000 * seconds / self.figures.requests


def take(subject: Subject, cell: Cell, order: Order) -> Sample:
    """Run the load generator against a subject. Raises SubjectError, and UsageError if a process ended meanwhile."""
    with processes.worker("bench.load", asdict(order), processes.environment()) as generator:
        generator.ready()
        with usage.Peak(subject.pid) as peak:
            before, aside, whole = usage.Usage.of(subject.pid), _aside(subject), usage.busy()
            generator.send("go")
            figures = Figures(**generator.result())
            used = usage.Usage.of(subject.pid).since(before)
            beside, machine = _aside(subject) - aside, usage.busy() - whole
    if not figures.requests:
        raise SubjectError(f"{subject.name} answered no request of {cell.name}: {figures.reason}")
    others = max(0.0, machine - sum(used.values()) - figures.cpu - beside) / figures.seconds
    return Sample(cell.name, subject.name, figures, used, peak.bytes, others)


def order_of(
    subject: Subject, cell: Cell, answer: bytes, sha256: str, folder: Path, *, seconds: float, count: int = 0
) -> Order:
    """Return the load generator's order, and write its request into `folder`. `count`: exact number of requests."""
    request = folder / f"{subject.name}-{cell.name}.request"
    request.write_bytes(subject.request(cell))
    return Order(
        port=subject.port,
        request=str(request),
        connections=cell.connections,
        warm_up=0 if count else max(0.5, seconds / 6),
        seconds=seconds,
        length=len(answer),
        answer="b64_json" if subject.peer else cell.answer,
        sha256=sha256,
        status=cell.status,
        rate=cell.rate,
        count=count,
    )


def _aside(subject: Subject) -> float:
    return sum(sum(usage.Usage.of(pid).by_process.values()) for pid in subject.beside)
