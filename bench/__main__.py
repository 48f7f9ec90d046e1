"""Measure the chain beside Envoy as a plain proxy and other gateways, interleaved in one run, and print tables."""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import jobs, noise_images, peers, samples, subjects
from bench.cells import IMAGE_BYTES, SMALL_BYTES, cells, upstream_cells
from bench.report import Report
from bench.subjects import ROOT, SubjectError
from bench.usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.cells import Cell
    from bench.samples import Sample
    from bench.subjects import Subject


GROUPS: Final = ("chain", "upstream", "jobs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Return the exit status."""
    known = (*cells(), *upstream_cells())
    options = _parser(known).parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = [cell for cell in known if (cell.name in options.cells if options.cells else cell.group in options.only)]
    failed = False
    try:
        with ExitStack() as stack:
            # A short path, for sockets.
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="igw-bench-", dir=options.data)))
            images = {"large": noise_images.noise(IMAGE_BYTES), "small": noise_images.noise(SMALL_BYTES)}
            (folder / "image.png").write_bytes(images["large"])
            if chosen:
                with ExitStack() as inner:
                    found = _measure(inner, chosen, options, folder, images)
                failed = any(sample.figures.failures for sample in found)
            if "jobs" in options.only and not options.cells:
                print(
                    f"\n{jobs.run(_create(folder / 'jobs'), folder / 'image.png', quick=options.quick)}", flush=True
                )
    except (SubjectError, UsageError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return int(failed)


def _parser(known: Sequence[Cell]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = [cell.name for cell in known]
    parser.add_argument("--quick", action="store_true", help="a rough run of under 2 minutes: 1 round of 1.5 s")
    parser.add_argument("--rounds", type=int, default=3, help="times that each cell is measured (default 3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement (default 3)")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, help="only these groups of measurements")
    parser.add_argument("--cells", nargs="+", choices=names, default=[], help="only these kinds of request")
    parser.add_argument(
        "--against", type=Path, action="append", default=[], help="another checkout, measured in the same run"
    )
    parser.add_argument(
        "--peers", type=Path, default=None, help="folder for other gateways, which are installed there at first"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=None,
        help="folder for the gateway's data, on the disk that counts (default: temporary)",
    )
    return parser


def _measure(
    stack: ExitStack, chosen: Sequence[Cell], options: argparse.Namespace, folder: Path, images: dict[str, bytes]
) -> list[Sample]:
    rounds, seconds = (1, 1.5) if options.quick else (options.rounds, options.seconds)
    digests = {name: hashlib.sha256(image).hexdigest() for name, image in images.items()}
    stub, upstream = stack.enter_context(subjects.provider(_create(folder / "provider"), images))
    more = {
        "OPENAI_BASE_URL": upstream,
        "OPENAI_API_KEY": "bench",
        "ALLOW_HOSTS": upstream.removeprefix("http://"),
    }
    chains = [
        stack.enter_context(
            subjects.chain(
                name, tree.resolve(), _create(folder / name), folder / "image.png", more=more, beside=(stub,)
            )
        )
        for name, tree in {"chain": ROOT, **{tree.resolve().name: tree for tree in options.against}}.items()
    ]
    answers = {cell.name: chains[0].ask(cell) for cell in chosen}
    plain = stack.enter_context(subjects.plain(_create(folder / "plain"), answers))
    others = (
        _peers(stack, options.peers, folder, upstream) if any(cell.group == "upstream" for cell in chosen) else []
    )
    everyone: list[Subject] = [plain, *chains, *others]
    print(
        f"{os.cpu_count()} cores, {rounds} rounds of {seconds:g} s a line, in turn; "
        f"median ± half the range. The image has {len(images['large'])} bytes.",
        flush=True,
    )
    found: list[Sample] = []
    for number in range(rounds):
        for cell in chosen:
            # Alternate the order, so that slow changes of the machine's load affect all subjects equally.
            for subject in everyone if number % 2 == 0 else reversed(everyone):
                if subject.peer and cell.group != "upstream":
                    continue
                answer = subject.ask(cell) if subject.peer else answers[cell.name]
                order = samples.order_of(subject, cell, answer, digests[cell.image], folder, seconds=seconds)
                found.append(samples.take(subject, cell, order))
                _progress(number + 1, found[-1])
    names = [subject.name for subject in everyone if not subject.peer]
    print(f"\n{Report(chosen, names, found, [subject.name for subject in others])}", flush=True)
    return found


def _peers(stack: ExitStack, home: Path | None, folder: Path, upstream: str) -> list[Subject]:
    """Start the other gateways that can be installed."""
    found: list[Subject] = []
    if home is None:
        return found
    for name, start in peers.PEERS.items():
        try:
            found.append(stack.enter_context(start((home / name).resolve(), _create(folder / name), upstream)))
        except (SubjectError, OSError) as error:
            print(f"bench: {name} is left out: {error}", file=sys.stderr)
    return found


def _create(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _progress(number: int, sample: Sample) -> None:
    print(
        f"  round {number}  {sample.cell:8} {sample.subject:12} "
        f"{sample.rate:7.1f} req/s  {sample.cost:6.2f} CPU-ms/req",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
