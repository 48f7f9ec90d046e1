"""Measure the chain beside Envoy as a plain proxy, interleaved in one run, and print tables."""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from bench import pictures, samples, subjects
from bench.cells import PICTURE_BYTES, cells
from bench.report import Report
from bench.subjects import ROOT, SubjectError
from bench.usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.cells import Cell
    from bench.samples import Sample
    from bench.subjects import Subject


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; gives the exit status."""
    known = cells()
    options = _parser(known).parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = [cell for cell in known if cell.name in options.cells]
    try:
        with ExitStack() as stack:
            found = _measure(stack, chosen, options)
    except (SubjectError, UsageError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return int(any(sample.figures.failures for sample in found))


def _parser(known: Sequence[Cell]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = [cell.name for cell in known]
    parser.add_argument("--quick", action="store_true", help="a rough run of about 40 s: 2 rounds of 2 s")
    parser.add_argument("--rounds", type=int, default=3, help="times that each cell is measured (default 3)")
    parser.add_argument("--seconds", type=float, default=7.0, help="length of one measurement (default 7)")
    parser.add_argument("--cells", nargs="+", choices=names, default=names, help="only these kinds of request")
    parser.add_argument(
        "--against", type=Path, action="append", default=[], help="another checkout, measured in the same run"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=None,
        help="folder for the gateway's data, on the disk that counts (default: temporary)",
    )
    return parser


def _measure(stack: ExitStack, chosen: Sequence[Cell], options: argparse.Namespace) -> list[Sample]:
    rounds, seconds = (2, 2.0) if options.quick else (options.rounds, options.seconds)
    # A short path: sockets lie in it.
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="igw-bench-", dir=options.data)))
    picture = pictures.noise(PICTURE_BYTES)
    sha256 = hashlib.sha256(picture).hexdigest()
    (folder / "picture.png").write_bytes(picture)
    chains = [
        stack.enter_context(subjects.chain(name, tree.resolve(), _made(folder / name), folder / "picture.png"))
        for name, tree in {"chain": ROOT, **{tree.resolve().name: tree for tree in options.against}}.items()
    ]
    answers = {cell.name: chains[0].ask(cell) for cell in chosen}
    plain = stack.enter_context(subjects.plain(_made(folder / "plain"), answers))
    everyone: list[Subject] = [plain, *chains]
    print(
        f"{os.cpu_count()} cores, {rounds} rounds of {seconds:g} s a line, in turn; "
        f"median ± half the range. The picture has {len(picture)} bytes.",
        flush=True,
    )
    found: list[Sample] = []
    for number in range(rounds):
        for cell in chosen:
            # Each is first as often as last, or nearly: the neighbours on the machine change slowly.
            for subject in everyone if number % 2 == 0 else reversed(everyone):
                order = samples.order_of(subject, cell, answers[cell.name], sha256, folder, seconds=seconds)
                found.append(samples.take(subject, cell, order))
                _progress(number + 1, found[-1])
    print(f"\n{Report(chosen, [subject.name for subject in everyone], found)}", flush=True)
    return found


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _progress(number: int, sample: Sample) -> None:
    print(
        f"  round {number}  {sample.cell:6} {sample.subject:12} "
        f"{sample.rate:7.1f} req/s  {sample.cost:6.2f} CPU-ms/req",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
