"""One measurement: one cell of one subject, for some seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bench import usage
from bench.load import Figures, Order
from bench.subjects import ROOT, SubjectError

if TYPE_CHECKING:
    from pathlib import Path

    from bench.cells import Cell
    from bench.subjects import Subject


@dataclass(frozen=True, slots=True)
class Sample:
    """What one window cost."""

    cell: str
    subject: str
    figures: Figures
    used: dict[str, float]
    """CPU seconds of the subject, by role."""
    peak: int
    """Bytes."""
    others: float
    """Cores that neither subject nor load generator nor upstream used."""

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.figures.requests / self.figures.seconds

    @property
    def cost(self) -> float:
        """CPU milliseconds a request, over all processes of the subject."""
        return self.per_request(sum(self.used.values()))

    def per_request(self, seconds: float) -> float:
        """Milliseconds of a request, from seconds of the window."""
        return 1000 * seconds / self.figures.requests


def take(subject: Subject, cell: Cell, order: Order) -> Sample:
    """Run the load generator against a subject. Raises SubjectError, or UsageError when a process ended meanwhile."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.load"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        say(process, json.dumps(asdict(order)))
        if hear(process) != "ready":
            raise SubjectError("the load generator does not start")
        with usage.Peak(subject.pid) as peak:
            before, aside, whole = usage.Usage.of(subject.pid), _aside(subject), usage.busy()
            say(process, "go")
            figures = Figures(**json.loads(hear(process) or "{}"))
            used = usage.Usage.of(subject.pid).since(before)
            beside, machine = _aside(subject) - aside, usage.busy() - whole
    finally:
        process.terminate()
        process.wait()
    if not figures.requests:
        raise SubjectError(f"{subject.name} answered no request of {cell.name}: {figures.reason}")
    others = max(0.0, machine - sum(used.values()) - figures.cpu - beside) / figures.seconds
    return Sample(cell.name, subject.name, figures, used, peak.bytes, others)


def order_of(
    subject: Subject, cell: Cell, answer: bytes, sha256: str, folder: Path, *, seconds: float, count: int = 0
) -> Order:
    """The load generator's order; the request is written into `folder`. `count`: exactly so many requests."""
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


def say(process: subprocess.Popen[str], line: str) -> None:
    """Write a line to a process of ours."""
    if process.stdin:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    """The next line of a process of ours; empty when it has ended."""
    return process.stdout.readline().strip() if process.stdout else ""
