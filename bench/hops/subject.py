"""Subject: the hops, in one process tree."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from imagegateway.stack import tuning
from imagegateway.stack.free_port import free_port

from bench.processes import ROOT, environment, listens, running, until
from bench.subjects import Subject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def hops(folder: Path, upstream: str) -> Iterator[Subject]:
    """Run the hops. `upstream`: base URL of the provider."""
    port, output = free_port(), folder / "output"
    command = [sys.executable, "-m", "bench.hops", str(folder), str(port), upstream]
    with running(command, output, ROOT, {**environment(), **tuning.TUNED}) as process:
        until(lambda: listens(port), process, output, "hops")
        yield Subject("hops", process.pid, port, "none", plain=False, own_answers=True)
