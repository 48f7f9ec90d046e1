"""Tables: medians over the rounds, and half the range."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.aims import at_least, at_most
from bench.tables import MB, number, ratio, spread, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.aims import Verdict
    from bench.cells import Cell
    from bench.samples import Sample

_PROCESSES: Final = ("envoy", "router", "providers", "media", "nats", "manager", "up")
_COLUMNS: Final[tuple[tuple[str, Callable[[Sample], float]], ...]] = (
    ("req/s", lambda sample: sample.rate),
    ("CPU-ms/req", lambda sample: sample.cost),
    ("p50 ms", lambda sample: sample.figures.p50),
    ("p99 ms", lambda sample: sample.figures.p99),
)


@dataclass(frozen=True, slots=True)
class _PeerAim:
    """Bound of the chain's figure beside that of another gateway in the same run."""

    cell: str
    figure: str
    peer: str
    bound: float
    verdict: Callable[[str, float, float, str], Verdict] = at_most
    difference: bool = False
    """True: the bound is of the difference in the figure's unit; False: of the ratio."""


_AIMS: Final = (
    _PeerAim("up-small", "CPU-ms/req", "litellm", 0.4),
    _PeerAim("up-small", "req/s", "litellm", 3, at_least),
    _PeerAim("up-rate", "p99 ms", "litellm", 1),
    _PeerAim("up-rate", "p50 ms", "portkey", 2, difference=True),
    _PeerAim("up-b64", "CPU-ms/req", "litellm", 0.4),
    _PeerAim("up-b64", "CPU-ms/req", "portkey", 0.25),
    _PeerAim("up-edit", "CPU-ms/req", "litellm", 0.4),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """Line of a plain table."""

    title: str
    value: str
    verdict: Verdict | None = None


def figures(found: Sequence[Figure]) -> str:
    """Return a plain table."""
    return table([["jobs", "measured", "aim"], *([one.title, one.value, str(one.verdict or "")] for one in found)])


class Report:
    """All measurements."""

    def __init__(
        self, cells: Sequence[Cell], subjects: Sequence[str], samples: Sequence[Sample], peers: Sequence[str] = ()
    ) -> None:
        """`subjects`: the plain proxy, then chains; `peers`: other gateways."""
        self._cells = cells
        self._subjects = subjects
        self._samples = samples
        self._peers = peers

    def __str__(self) -> str:
        return "\n\n".join(part for part in (self._main(), self._ratios(), self._split(), self._notes()) if part)

    @property
    def failed(self) -> bool:
        """True if a response was not the expected one."""
        return any(sample.figures.failures for sample in self._samples)

    def verdicts(self) -> list[Verdict]:
        """Return the verdicts on the chain beside the other gateways of this run."""
        figures, cells = dict(_COLUMNS), {cell.name: cell for cell in self._cells}
        found: list[Verdict] = []
        for aim in _AIMS:
            cell = cells.get(aim.cell)
            if not cell or not self._of(cell, aim.peer):
                continue
            own, other = (self._median(cell, name, figures[aim.figure]) for name in (self._subjects[1], aim.peer))
            title = f"{cell.title}: {aim.figure} {'above' if aim.difference else 'to'} {aim.peer}"
            value, unit = (own - other, "ms") if aim.difference else (ratio(own, other), "x")
            found.append(aim.verdict(title, value, aim.bound, unit))
        return found

    def _has_parts(self, cell: Cell, subject: str) -> bool:
        """Return True for a chain, and for the hops: they have a router."""
        return any("router" in sample.used for sample in self._of(cell, subject))

    def _of(self, cell: Cell, subject: str) -> list[Sample]:
        return [sample for sample in self._samples if (sample.cell, sample.subject) == (cell.name, subject)]

    def _median(self, cell: Cell, subject: str, figure: Callable[[Sample], float]) -> float:
        return statistics.median(map(figure, self._of(cell, subject)))

    def _main(self) -> str:
        rows = [["request", "callers", "subject", *(name for name, _ in _COLUMNS), "peak MB", "generator", "others"]]
        for cell in self._cells:
            for subject in (*self._subjects, *self._peers):
                samples = self._of(cell, subject)
                if not samples:
                    continue
                first = subject == self._subjects[0]
                rows.append(
                    [
                        cell.title if first else "",
                        _callers(cell) if first else "",
                        subject,
                        *(spread(map(figure, samples)) for _, figure in _COLUMNS),
                        f"{max(sample.peak for sample in samples) / MB:.0f}",
                        spread(sample.per_request(sample.figures.cpu) for sample in samples),
                        f"{max(sample.others for sample in samples):.2f}",
                    ]
                )
        return table(rows)

    def _ratios(self) -> str:
        plain, *chains = self._subjects
        rows = [["request", "of", "to", *(name for name, _ in _COLUMNS)]]
        for cell in self._cells:
            pairs = [(chain, base) for base in (plain, *self._peers) for chain in chains if self._of(cell, base)]
            for chain, base in pairs:
                ratios = [
                    ratio(self._median(cell, chain, figure), self._median(cell, base, figure))
                    for _, figure in _COLUMNS
                ]
                rows.append([cell.title, chain, base, *(f"{number(one)} x" for one in ratios)])
        return table(rows) if len(rows) > 1 else ""

    def _split(self) -> str:
        rows = [["CPU-ms/req", "subject", *_PROCESSES, "sum"]]
        for cell in self._cells:
            for subject in (name for name in (*self._subjects, *self._peers) if self._has_parts(cell, name)):
                shares = [
                    self._median(cell, subject, lambda sample, role=role: sample.per_request(_role(sample, role)))  # type: ignore[misc]  # mypy can't infer a lambda with a default
                    for role in _PROCESSES
                ]
                cost = self._median(cell, subject, lambda sample: sample.cost)
                rows.append([cell.title, subject, *map(number, shares), number(cost)])
        return table(rows) if len(rows) > 1 else ""

    def _notes(self) -> str:
        requests = sum(sample.figures.requests for sample in self._samples)
        checked = sum(sample.figures.checked for sample in self._samples)
        failed = [sample for sample in self._samples if sample.figures.failures]
        notes = [
            f"Checked: status and length of all {requests} responses, the image's SHA-256 in {checked}.",
            "generator: CPU-ms/req of the load generator, not in the subject's.",
            "others: the most cores that anything else used during a measurement.",
        ]
        notes += [
            f"FAILED: {sample.subject} {sample.cell}: {sample.figures.failures}, the first: {sample.figures.reason}"
            for sample in failed
        ]
        return "\n".join(notes)


def _role(sample: Sample, role: str) -> float:
    """Return CPU seconds of a role. Processes of single providers count as `providers`."""
    if role != "providers":
        return sample.used.get(role, 0.0)
    return sum(seconds for name, seconds in sample.used.items() if name == role or name not in _PROCESSES)


def _callers(cell: Cell) -> str:
    return f"{cell.rate:g}/s" if cell.rate else str(cell.connections)
