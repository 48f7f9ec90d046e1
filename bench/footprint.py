"""Memory of each process of the stack, idle and with slow calls in flight, and the time of a start."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Final

from bench import beside, noise_images, subjects, usage
from bench.aims import at_most
from bench.cells import SMALL_BYTES, upstream_cells
from bench.processes import ROOT
from bench.tables import MB, table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bench.aims import Verdict
    from bench.scale import Scale
    from bench.usage import Memory

_START_SECONDS: Final = 1.5
_IDLE_MB: Final = 300
_BUSY_MB: Final = 450


def measure(folder: Path, image: Path, scale: Scale) -> tuple[str, list[Verdict]]:
    """Return the table of memory by process with the times of the starts, and the verdicts."""
    warm: list[float] = []
    (folder / "provider").mkdir()
    small = noise_images.noise(SMALL_BYTES)
    with subjects.provider(folder / "provider", {"large": small, "small": small}) as (stub, upstream):
        more = subjects.upstream_settings(upstream)
        with subjects.chain("footprint", ROOT, folder, image, more=more, beside=(stub,)) as chain:
            first = chain.start_seconds
        for _ in range(scale.starts):
            with subjects.chain("footprint", ROOT, folder, image, more=more, beside=(stub,)) as chain:
                warm.append(chain.start_seconds)
                if len(warm) < scale.starts:
                    continue
                time.sleep(scale.settle)
                idle = usage.memory(chain.pid)
                with beside.in_flight(chain, beside.slow(upstream_cells()[0]), scale):
                    busy = usage.memory(chain.pid)
    start = statistics.median(warm)
    busy_title = f"with {scale.slow} calls in flight"
    found = [
        at_most("warm start until ready", start, _START_SECONDS, "s"),
        at_most("memory of the idle stack, PSS", _sum(idle).pss / MB, _IDLE_MB, "MB"),
        at_most(f"memory {busy_title}, PSS", _sum(busy).pss / MB, _BUSY_MB, "MB"),
    ]
    starts = f"First start {first:.2f} s until ready; warm start {start:.2f} s, the median of {len(warm)}."
    return f"{_table(idle, busy, busy_title)}\n\n{starts}", found


def _table(idle: Mapping[str, Memory], busy: Mapping[str, Memory], busy_title: str) -> str:
    head = ["MB", "idle PSS", "idle RSS", f"PSS {busy_title}", f"RSS {busy_title}"]
    rows = [[role, *_megabytes(idle[role]), *_megabytes(busy[role])] for role in sorted(idle)]
    return table([head, *rows, ["sum", *_megabytes(_sum(idle)), *_megabytes(_sum(busy))]])


def _megabytes(memory: Memory) -> tuple[str, str]:
    return f"{memory.pss / MB:.0f}", f"{memory.rss / MB:.0f}"


def _sum(found: Mapping[str, Memory]) -> Memory:
    return sum(found.values(), usage.Memory())
