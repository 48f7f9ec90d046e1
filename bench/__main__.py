"""Compare the chain with Envoy as a plain proxy and with other gateways, interleaved in one run. Print tables."""

from __future__ import annotations

import argparse
import hashlib
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import aims, footprint, jobs, machine, noise_images, peers, samples, subjects
from bench.cells import IMAGE_BYTES, SMALL_BYTES, cells, upstream_cells
from bench.hops.subject import hops
from bench.processes import ROOT, SubjectError
from bench.report import Report, figures
from bench.scale import FULL, QUICK, SMOKE
from bench.usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.aims import Verdict
    from bench.cells import Cell
    from bench.samples import Sample
    from bench.scale import Scale
    from bench.subjects import Subject


GROUPS: Final = ("chain", "upstream", "stack", "jobs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark. Return the exit status, which depends on failures only, not on figures."""
    known = (*cells(), *upstream_cells())
    options = _parser(known).parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    scale = _scale(options)
    chosen = [cell for cell in known if (cell.name in options.cells if options.cells else cell.group in options.only)]
    groups = () if options.cells else options.only
    found: list[Verdict] = []
    failed = False
    try:
        # A short path, for sockets.
        with tempfile.TemporaryDirectory(prefix="igw-bench-", dir=options.data) as name:
            folder = Path(name)
            images = {"large": noise_images.noise(IMAGE_BYTES), "small": noise_images.noise(SMALL_BYTES)}
            (image := folder / "image.png").write_bytes(images["large"])
            print(machine.describe(peers.VERSIONS if options.peers else {}), flush=True)
            if chosen:
                report = _measure(chosen, options, scale, folder, images)
                print(f"\n{report}", flush=True)
                found += report.verdicts()
                failed = report.failed
            if "stack" in groups:
                text, verdicts = footprint.measure(_create(folder / "stack"), image, scale)
                print(f"\n{text}", flush=True)
                found += verdicts
            if "jobs" in groups:
                lines = jobs.run(_create(folder / "jobs"), image, scale)
                print(f"\n{figures(lines)}", flush=True)
                found += [line.verdict for line in lines if line.verdict]
    except (SubjectError, UsageError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if found and not options.smoke:
        print(f"\n{aims.verdicts(found)}", flush=True)
    return int(failed)


def _scale(options: argparse.Namespace) -> Scale:
    if options.smoke:
        return SMOKE
    scale = QUICK if options.quick else replace(FULL, rounds=options.rounds, window=options.seconds)
    return replace(scale, held=options.held or scale.held)


def _parser(known: Sequence[Cell]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = [cell.name for cell in known]
    parser.add_argument("--quick", action="store_true", help="a rough run of under 2 minutes: 1 round of 1.5 s")
    parser.add_argument("--smoke", action="store_true", help="prove that everything runs; the figures mean nothing")
    parser.add_argument("--rounds", type=int, default=3, help="times that each cell is measured (default 3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement (default 3)")
    parser.add_argument("--held", type=int, default=0, help="jobs that wait at their provider (default 10,000)")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, help="only these groups of measurements")
    parser.add_argument("--cells", nargs="+", choices=names, default=[], help="only these kinds of request")
    parser.add_argument(
        "--against", type=Path, action="append", default=[], help="another checkout, measured in the same run"
    )
    parser.add_argument("--peers", type=Path, default=None, help="folder in which other gateways are installed")
    parser.add_argument(
        "--data",
        type=Path,
        default=None,
        help="folder for the gateway's data, on the disk that counts (default: temporary)",
    )
    return parser


def _measure(
    chosen: Sequence[Cell], options: argparse.Namespace, scale: Scale, folder: Path, images: Mapping[str, bytes]
) -> Report:
    """Measure the chosen cells of all subjects."""
    with ExitStack() as stack:
        stub, upstream = stack.enter_context(subjects.provider(_create(folder / "provider"), images))
        chains = [
            stack.enter_context(
                subjects.chain(
                    name,
                    tree.resolve(),
                    _create(folder / name),
                    folder / "image.png",
                    more=subjects.upstream_settings(upstream),
                    beside=(stub,),
                )
            )
            for name, tree in {"chain": ROOT, **{tree.resolve().name: tree for tree in options.against}}.items()
        ]
        answers = {cell.name: chains[0].ask(cell) for cell in chosen}
        plain = stack.enter_context(subjects.plain(_create(folder / "plain"), answers))
        others: list[Subject] = []
        if any(cell.group == "upstream" for cell in chosen):
            others += [stack.enter_context(hops(_create(folder / "hops"), upstream))]
            others += _peers(stack, options.peers, folder, upstream)
        print(
            f"\n{scale.rounds} rounds of {scale.window:g} s a line, alternating; "
            f"median ± half the range. The image has {len(images['large'])} bytes.",
            flush=True,
        )
        digests = {name: hashlib.sha256(image).hexdigest() for name, image in images.items()}
        found = _rounds(chosen, [plain, *chains, *others], answers, scale, folder=folder, digests=digests)
    own = [plain.name, *(chain.name for chain in chains)]
    return Report(chosen, own, found, [subject.name for subject in others])


def _rounds(
    chosen: Sequence[Cell],
    everyone: Sequence[Subject],
    answers: Mapping[str, bytes],
    scale: Scale,
    *,
    folder: Path,
    digests: Mapping[str, str],
) -> list[Sample]:
    found: list[Sample] = []
    for number in range(scale.rounds):
        for cell in chosen:
            # Alternate the order, so that slow changes of the machine's load affect all subjects equally.
            for subject in everyone if number % 2 == 0 else reversed(everyone):
                if subject.own_answers and cell.group != "upstream":
                    continue
                answer = subject.ask(cell) if subject.own_answers else answers[cell.name]
                order = samples.order_of(subject, cell, answer, digests[cell.image], folder, seconds=scale.window)
                found.append(samples.take(subject, cell, order))
                _progress(number + 1, found[-1])
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
