"""The benchmark's report on measured windows."""

from bench.cells import cells
from bench.load import Figures
from bench.report import Report
from bench.samples import Sample


def test_shows_a_ratio_to_an_idle_process() -> None:
    cell = cells()[0]
    figures = Figures(requests=10, seconds=0.3, p50=1.0, p99=2.0)
    idle = Sample(cell.name, "plain", figures, {"envoy": 0.0}, peak=1, others=0.0)
    busy = Sample(cell.name, "chain", figures, {"envoy": 0.01}, peak=1, others=0.0)
    row = next(
        line
        for line in str(Report([cell], ["plain", "chain"], [idle, busy])).splitlines()
        if "| plain " in line and " x " in line
    )
    assert [part.strip() for part in row.split("|")][4:8] == ["1.00 x", "inf x", "1.00 x", "1.00 x"]
