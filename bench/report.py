"""Tables: medians over the rounds, and half the range."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bench.cells import Cell
    from bench.samples import Sample

_MB: Final = 1_000_000
_PROCESSES: Final = ("envoy", "router", "providers", "media", "nats", "manager")
_COLUMNS: Final[tuple[tuple[str, Callable[[Sample], float]], ...]] = (
    ("req/s", lambda sample: sample.rate),
    ("CPU-ms/req", lambda sample: sample.cost),
    ("p50 ms", lambda sample: sample.figures.p50),
    ("p99 ms", lambda sample: sample.figures.p99),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """Line of a plain table."""

    what: str
    value: str
    aim: str = ""


def figures(found: Sequence[Figure]) -> str:
    """Return a plain table."""
    return table([["jobs", "measured", "aim"], *([one.what, one.value, one.aim] for one in found)])


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
                        f"{max(sample.peak for sample in samples) / _MB:.0f}",
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
                    self._median(cell, chain, figure) / self._median(cell, base, figure) for _, figure in _COLUMNS
                ]
                rows.append([cell.title, chain, base, *(f"{number(ratio)} x" for ratio in ratios)])
        return table(rows) if len(rows) > 1 else ""

    def _split(self) -> str:
        rows = [["CPU-ms/req", "subject", *_PROCESSES, "sum", "aim"]]
        for cell in self._cells:
            for subject in (name for name in self._subjects if name != "plain"):
                shares = [
                    self._median(cell, subject, lambda sample, role=role: sample.per_request(_role(sample, role)))  # type: ignore[misc]  # mypy can't infer a lambda with a default
                    for role in _PROCESSES
                ]
                cost = self._median(cell, subject, lambda sample: sample.cost)
                aim = f"< {cell.aim:g}: {'met' if cost < cell.aim else 'not met'}" if cell.aim else "none set"
                rows.append([cell.title, subject, *map(number, shares), number(cost), aim])
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


def number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values: Iterable[float]) -> str:
    ordered = sorted(values)
    middle = number(statistics.median(ordered))
    return f"{middle} ±{number((ordered[-1] - ordered[0]) / 2)}" if len(ordered) > 1 else middle


def table(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
