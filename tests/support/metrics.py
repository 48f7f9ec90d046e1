"""Metrics as Prometheus reads them: from a page of text, or from this process."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.platform.metrics import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import Metric
    from prometheus_client.samples import Sample

    Series = dict[tuple[str, ...], float]
    """Values by the values of labels."""

_QUIET_SECONDS: Final = 60.0
_COUNTED_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Scrape:
    """All metrics at one time."""

    families: list[Metric]

    @classmethod
    def parse(cls, text: str) -> Scrape:
        """Return the metrics of a page. Raises ValueError for text that Prometheus refuses."""
        return cls(list(text_string_to_metric_families(text)))

    def samples(self, name: str, **labels: str) -> list[Sample]:
        """Return the samples of a name whose labels have these values."""
        return [
            sample
            for family in self.families
            if name.startswith(family.name)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of these samples; 0 without any."""
        return sum(sample.value for sample in self.samples(name, **labels))

    def totals(self, name: str, *labels: str) -> Series:
        """Return the sums of the samples of a name for each combination of the labels' values."""
        sums: Counter[tuple[str, ...]] = Counter()
        for sample in self.samples(name):
            sums[tuple(sample.labels[label] for label in labels or sample.labels)] += sample.value  # type: ignore[assignment]  # typeshed knows counts only
        return dict(sums)

    def names(self) -> set[str]:
        """Return the names of all samples."""
        return {sample.name for family in self.families for sample in family.samples}


def increases(before: Series, after: Series) -> Series:
    """Return the increases between two times, without the series that did not change."""
    added = {labels: round(value - before.get(labels, 0.0), 9) for labels, value in after.items()}
    return {labels: increase for labels, increase in added.items() if increase}


def scrape() -> Scrape:
    """Return the metrics of this process."""
    return Scrape(list(REGISTRY.collect()))


class Traffic:
    """Counts of a gateway since the construction, when no job was under way. `read` returns its present metrics."""

    def __init__(self, read: Callable[[], Scrape]) -> None:
        self._read = read
        self.wait_quiet()
        self._before = read()

    def is_quiet(self) -> bool:
        """Return whether no job is queued or runs."""
        page = self._read()
        return not sum(page.total("imagegateway_jobs", state=state) for state in ("queued", "running"))

    def wait_quiet(self) -> None:
        """Wait until no job is queued or runs."""
        eventually(self.is_quiet, _QUIET_SECONDS, "all jobs have ended")

    def added(self, name: str, *labels: str) -> Series:
        """Return the increased sums of the samples of a name for each combination of the labels' values."""
        return increases(self._before.totals(name, *labels), self._read().totals(name, *labels))

    def assert_added(self, expected: Series, name: str, *labels: str) -> None:
        """Assert that sums of the samples of a name increase by these numbers: calls are counted after they end."""
        with suppress(AssertionError):
            eventually(lambda: self.added(name, *labels) == expected, _COUNTED_SECONDS, f"{name} counts the calls")
        assert self.added(name, *labels) == expected


class Added:
    """Counts of this process since the construction."""

    def __init__(self) -> None:
        self._before = scrape()

    def __call__(self, name: str, **labels: str) -> float:
        """Return the increase of the sum of the samples with a name and these labels."""
        return round(self._present(name).total(name, **labels) - self._before.total(name, **labels), 9)

    def series(self, name: str) -> Series:
        """Return the increased series of a name by the values of their labels, in the order of the definition."""
        return increases(self._before.totals(name), self._present(name).totals(name))

    @staticmethod
    def _present(name: str) -> Scrape:
        """Return the samples of a name alone: other tests may have left thousands."""
        return Scrape(list(REGISTRY.restricted_registry([name]).collect()))
